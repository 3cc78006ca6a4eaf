"""`handrail create-organization`."""

import sys
from typing import Annotated

import typer

_LONGEST_PASSWORD_LINE = 4096


def create_organization(
    slug: Annotated[str, typer.Argument(help="Short name for commands and addresses.")],
    name: Annotated[str, typer.Argument(help="Its name as people read it.")],
    *,
    owner: Annotated[str, typer.Option(help="E-mail address of the first owner.")],
    owner_name: Annotated[str, typer.Option(help="The owner's name.")] = "",
    time_zone: Annotated[str, typer.Option(help="Such as America/Chicago.")] = "UTC",
    learner_word: Annotated[
        str, typer.Option(help="student, apprentice, participant or learner.")
    ] = "student",
    generate_password: Annotated[
        bool, typer.Option("--generate-password", help="Make one and show it once.")
    ] = False,
) -> None:
    """Create an organization with its first owner.

    The owner's password is read from standard input, twice; it is not asked of somebody who can
    sign in already.
    """
    from handrail.organizations.actions import OrganizationFacts
    from handrail.people.actions import Owner, find_profile
    from handrail.people.actions import create_organization as create

    is_known = find_profile(owner) is not None
    password = ""
    if not is_known:
        password = _generate() if generate_password else _ask_password()
    facts = OrganizationFacts(slug, name, learner_word=learner_word, time_zone=time_zone)
    create(facts, Owner(owner, name=owner_name, password=password))
    typer.echo(f"The organization {slug} is there, and {owner} owns it.")
    if generate_password and not is_known:
        typer.echo(f"Password, shown only now: {password}")


def _generate() -> str:
    import secrets

    return secrets.token_urlsafe(18)


def _ask_password() -> str:
    """Ask on the terminal without showing it; else read two lines, which must be the same."""
    import getpass

    from handrail.people.actions import ProfileRefused

    try:
        if sys.stdin.isatty():
            first, second = getpass.getpass("Password: "), getpass.getpass("Once more: ")
        else:
            first, second = (
                sys.stdin.readline(_LONGEST_PASSWORD_LINE).rstrip("\r\n") for _ in range(2)
            )
        first.encode()  # In some locales what is not UTF-8 can be read, but not written.
    except UnicodeError:
        raise ProfileRefused("The password is not UTF-8. Nothing was created.") from None
    if first != second:
        raise ProfileRefused("The two passwords are not the same. Nothing was created.")
    return first
