"""The people of the organization: list, search, and the whole as a file."""

import csv
import io
from collections.abc import AsyncIterator, Iterable
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from asgiref.sync import sync_to_async
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from handrail.console.views.common import leave_empty_page, make_page_urls, render_page
from handrail.core.paging import BadPlace, Page
from handrail.enrollments.queries.people import (
    PEOPLE_PAGE,
    ExportRow,
    LearnerRow,
    list_enrolled,
    list_learners,
    read_export_page,
)
from handrail.organizations.identity import Identity, open_as
from handrail.people.access import get_facts, get_workplace, staff_required
from handrail.programs.models import Program

_HEADER = (
    "last_name",
    "first_name",
    "email",
    "phone",
    "program",
    "status",
    "funding_source",
    "start_date",
    "completed_on",
    "current_steps",
    "partners",
    "progress_percent",
    "steps_done",
    "steps",
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


# The enrollments that the pipeline counts, as it calls them.
_SHOWN: Final = {
    "active": "active",
    "pending": "waiting for approval",
    "suspended": "on hold",
    "completed": "completed",
    "withdrawn": "withdrawn",
}


@require_safe
@staff_required
def show_people(request: HttpRequest) -> HttpResponseBase:
    """List all, those who are found, or those of a program in one status."""
    organization = get_workplace(request).organization_id
    search, place = request.GET.get("q", "").strip(), request.GET.get("at", "")
    program, status = _find_program(request, organization), request.GET.get("status", "")
    try:
        if program is None:
            page = list_learners(organization, search=search, place=place)
        else:
            page = list_enrolled(organization, program_id=program.id, status=status, place=place)
    except BadPlace:
        raise Http404 from None
    if answer := leave_empty_page(request, page):
        return answer
    context = {
        "rows": page.rows,
        "search": search,
        "found": _tell_found(page) if search else "",
        "shown": f"{program.title}, {_SHOWN[status]}" if program else "",
        **make_page_urls(request, page),
    }
    return render_page(request, "console/people.html", context)


def _find_program(request: HttpRequest, organization: UUID) -> Program | None:
    """The program whose people are asked for; None where all are."""
    wanted = request.GET.get("program", "")
    if not wanted:
        return None
    try:
        found = Program.objects.filter(organization_id=organization, id=UUID(wanted)).first()
    except ValueError:
        found = None
    if found is None or request.GET.get("status") not in _SHOWN:
        raise Http404
    return found


def _tell_found(page: Page[LearnerRow]) -> str:
    """How many were found, for those who do not see the list."""
    if page.previous or page.next:
        return f"{PEOPLE_PAGE} or more found"
    return f"{len(page.rows)} found" if page.rows else "Nobody found"


@require_safe
@staff_required
def export(request: HttpRequest) -> HttpResponseBase:
    """Stream the roster with where everybody is; each page is read in a transaction of its own."""
    workplace = get_workplace(request)
    name = f"roster-{timezone.localdate():%Y-%m-%d}.csv"
    return StreamingHttpResponse(
        _stream(get_facts(request).identity, workplace.organization_id, workplace.zone),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def _stream(identity: Identity, organization: UUID, zone: ZoneInfo) -> AsyncIterator[bytes]:
    def read(place: str) -> tuple[list[ExportRow], str]:
        with open_as(identity):
            return read_export_page(organization, place=place)

    yield b"\xef\xbb\xbf" + write_lines([_HEADER])  # the mark tells Excel that this is UTF-8
    place, first = "", True
    while first or place:
        rows, place = await sync_to_async(read)(place)
        first = False
        yield write_lines(_list_cells(row, zone) for row in rows)


def _list_cells(row: ExportRow, zone: ZoneInfo) -> list[object]:
    completed = row.completed_at.astimezone(zone).date() if row.completed_at else ""
    return [
        row.last_name,
        row.first_name,
        row.email,
        row.phone,
        row.program_title or "",
        row.status or "",
        row.funding_source or "",
        row.start_date or "",
        completed,
        row.current_steps or "",
        row.partners or "",
        "" if row.progress is None else row.progress,
        row.steps_done,
        row.steps,
    ]


def write_lines(rows: Iterable[Iterable[object]]) -> bytes:
    """Return rows as CSV (RFC 4180); a cell that a spreadsheet would run as a formula is text.

    OWASP, "CSV injection": an apostrophe in front of what begins with one of = + - @ tab CR.
    """
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    for row in rows:
        writer.writerow([_neutralize(str(cell)) for cell in row])
    return written.getvalue().encode()


def _neutralize(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
