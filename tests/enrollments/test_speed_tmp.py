from pathlib import Path
import time, io
from handrail.enrollments.roster import import_roster
import handrail.enrollments.roster as R
from handrail.programs.catalog import import_catalog
from handrail.programs.catalog_file import read_catalog
from tests.databases import Database
import pytest

EX = Path(__file__).parents[2] / "examples"

@pytest.mark.parametrize("size",[100,250,500,1000])
def test_x(database: Database, size) -> None:
    R.BATCH=size
    r = import_catalog(read_catalog((EX/"catalog.toml").read_bytes()))
    import random
    rnd=random.Random(1)
    progs=["barber-apprenticeship","medical-assistant","building-maintenance","food-service-manager","esthetics"]
    rows=["first_name,last_name,email,program,funding_source,start_date,phone"]
    for i in range(20000):
        rows.append(f"Ann{i},Lee,ann{i}@x.example.org,{rnd.choice(progs)},WIOA,2026-0{rnd.randint(6,9)}-01,317")
    data="\n".join(rows).encode()
    for dry in (False,False):
        t=time.perf_counter(); print(import_roster(io.BytesIO(data), organization=r.organization, tell=print, dry_run=dry)); d=time.perf_counter()-t; print(size, d, 20000/d)
