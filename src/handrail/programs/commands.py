"""`handrail import-catalog`."""

from pathlib import Path
from typing import Annotated

import typer


def import_catalog(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="TOML, in UTF-8.")
    ],
) -> None:
    """Take over organization, providers, courses and programs of FILE: whole, or not at all.

    A repeat changes nothing. A program whose steps differ gets a new version; who is enrolled
    stays with the old one.
    """
    from handrail.programs.catalog import import_catalog as take_over
    from handrail.programs.catalog_file import read_catalog

    report = take_over(read_catalog(file.read_bytes()))
    organization = report.organization
    if report.organization_became != "same":
        typer.echo(f"organization {report.organization_became}: {organization.slug}")
    for title, found in (("created", report.created), ("changed", report.changed)):
        for kind, names in found.items():
            typer.echo(f"{kind} {title}: {', '.join(names)}")
    for program, number in report.published:
        typer.echo(f"published: {program}, version {number}")
    if not report.is_new:
        typer.echo("Nothing differs from what is here; nothing was changed.")
    if "providers" in report.created:
        typer.echo("Next, for each new provider: handrail provider configure SLUG")
