-- The state of the seven platforms. Times are seconds since 1970, UTC.

CREATE TABLE IF NOT EXISTS counters (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS settings (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS accounts (
  number     INTEGER PRIMARY KEY AUTOINCREMENT,
  id         TEXT NOT NULL UNIQUE,
  partner    TEXT NOT NULL,
  first_name TEXT NOT NULL,
  last_name  TEXT NOT NULL,
  email      TEXT NOT NULL,
  email_key  TEXT NOT NULL,  -- case-folded
  search_key TEXT NOT NULL,  -- name and address, case-folded
  phone      TEXT NOT NULL DEFAULT '',
  birth_date TEXT NOT NULL DEFAULT '',
  username   TEXT NOT NULL,
  created_at REAL NOT NULL,
  UNIQUE (partner, email_key)
);
CREATE INDEX IF NOT EXISTS accounts_of_partner ON accounts (partner, number);
CREATE INDEX IF NOT EXISTS accounts_by_email ON accounts (email_key);

CREATE TABLE IF NOT EXISTS enrollments (
  number         INTEGER PRIMARY KEY AUTOINCREMENT,
  id             TEXT NOT NULL UNIQUE,
  partner        TEXT NOT NULL,
  account        TEXT NOT NULL REFERENCES accounts (id),
  course         TEXT NOT NULL,
  status         TEXT NOT NULL DEFAULT 'active'
                 CHECK (status IN ('active', 'completed', 'failed', 'ended')),
  percent        REAL NOT NULL DEFAULT 0 CHECK (percent BETWEEN 0 AND 100),
  created_at     REAL NOT NULL,
  opened_at      REAL,
  last_access_at REAL,
  closed_at      REAL,  -- completed, failed or ended
  study_step     INTEGER NOT NULL DEFAULT 0,
  study_next_at  REAL   -- empty: nobody studies by itself
);
CREATE INDEX IF NOT EXISTS enrollments_of_account ON enrollments (account, course, number);
CREATE INDEX IF NOT EXISTS enrollments_of_partner ON enrollments (partner, status, number);
CREATE INDEX IF NOT EXISTS enrollments_studying ON enrollments (study_next_at)
  WHERE study_next_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS vouchers (
  number     INTEGER PRIMARY KEY AUTOINCREMENT,
  id         TEXT NOT NULL UNIQUE,
  partner    TEXT NOT NULL,
  code       TEXT NOT NULL UNIQUE,
  account    TEXT NOT NULL REFERENCES accounts (id),
  course     TEXT NOT NULL,
  enrollment TEXT UNIQUE REFERENCES enrollments (id),  -- that used it up
  created_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS vouchers_of_account ON vouchers (account, course, number);

CREATE TABLE IF NOT EXISTS certificates (
  number       INTEGER PRIMARY KEY AUTOINCREMENT,
  id           TEXT NOT NULL UNIQUE,
  partner      TEXT NOT NULL,
  enrollment   TEXT NOT NULL REFERENCES enrollments (id),
  printed      TEXT NOT NULL UNIQUE,  -- the number that stands on it
  token        TEXT NOT NULL UNIQUE,  -- in its address
  issued_on    TEXT NOT NULL,
  expires_on   TEXT,
  revoked_at   REAL
);
CREATE INDEX IF NOT EXISTS certificates_of_enrollment ON certificates (enrollment, number);

CREATE TABLE IF NOT EXISTS tokens (  -- launch URLs and sessions
  digest     TEXT PRIMARY KEY,
  kind       TEXT NOT NULL CHECK (kind IN ('launch', 'session')),
  partner    TEXT NOT NULL,
  account    TEXT NOT NULL REFERENCES accounts (id),
  enrollment TEXT REFERENCES enrollments (id),
  return_url TEXT NOT NULL DEFAULT '',
  expires_at REAL NOT NULL,
  used_at    REAL
);
CREATE INDEX IF NOT EXISTS tokens_by_end ON tokens (expires_at);

CREATE TABLE IF NOT EXISTS idempotency (
  partner    TEXT NOT NULL,
  key        TEXT NOT NULL,
  digest     TEXT NOT NULL,  -- of method, path and body
  status     INTEGER NOT NULL,
  body       TEXT NOT NULL,
  created_at REAL NOT NULL,
  PRIMARY KEY (partner, key)
);
CREATE INDEX IF NOT EXISTS idempotency_by_age ON idempotency (created_at);

CREATE TABLE IF NOT EXISTS ledger (
  number     INTEGER PRIMARY KEY AUTOINCREMENT,
  at         REAL NOT NULL,
  partner    TEXT NOT NULL,
  operation  TEXT NOT NULL,
  method     TEXT NOT NULL,
  path       TEXT NOT NULL,
  key        TEXT NOT NULL DEFAULT '',
  account    TEXT NOT NULL DEFAULT '',
  course     TEXT NOT NULL DEFAULT '',
  enrollment TEXT NOT NULL DEFAULT '',
  voucher    TEXT NOT NULL DEFAULT '',
  outcome    TEXT NOT NULL,
  status     INTEGER NOT NULL,
  answered   TEXT NOT NULL,
  fault      TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS ledger_by_operation ON ledger (partner, operation, number);
CREATE INDEX IF NOT EXISTS ledger_of_partner ON ledger (partner, number);
CREATE INDEX IF NOT EXISTS ledger_of_enrollment ON ledger (enrollment, number);

CREATE TABLE IF NOT EXISTS webhooks (
  number      INTEGER PRIMARY KEY AUTOINCREMENT,
  id          TEXT NOT NULL UNIQUE,
  partner     TEXT NOT NULL,
  enrollment  TEXT NOT NULL REFERENCES enrollments (id),
  event       TEXT NOT NULL,
  body        BLOB NOT NULL,
  created_at  REAL NOT NULL,
  due_at      REAL NOT NULL,
  state       TEXT NOT NULL DEFAULT 'waiting'
              CHECK (state IN ('waiting', 'sending', 'delivered', 'lost', 'exhausted', 'stopped')),
  attempts    INTEGER NOT NULL DEFAULT 0,
  retries     INTEGER NOT NULL DEFAULT 0,  -- how far in the schedule
  fault       TEXT NOT NULL DEFAULT '',
  repeats     INTEGER NOT NULL DEFAULT 0,  -- sends still to come after the delivery
  last_answer TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS webhooks_due ON webhooks (due_at, number) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS webhooks_sending ON webhooks (number) WHERE state = 'sending';
CREATE INDEX IF NOT EXISTS webhooks_of_partner ON webhooks (partner, number);
CREATE INDEX IF NOT EXISTS webhooks_of_enrollment ON webhooks (enrollment, number);

CREATE TABLE IF NOT EXISTS deliveries (
  number       INTEGER PRIMARY KEY AUTOINCREMENT,
  webhook      TEXT NOT NULL,
  partner      TEXT NOT NULL,
  at           REAL NOT NULL,
  answer       TEXT NOT NULL,
  milliseconds INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS deliveries_of_partner ON deliveries (partner, number);
CREATE INDEX IF NOT EXISTS deliveries_of_webhook ON deliveries (webhook, number);

CREATE TABLE IF NOT EXISTS fault_counts (
  identity TEXT PRIMARY KEY,
  seen     INTEGER NOT NULL,
  faulted  INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS ordered_faults (
  number    INTEGER PRIMARY KEY AUTOINCREMENT,
  partner   TEXT NOT NULL DEFAULT '',  -- '' any
  subject   TEXT NOT NULL DEFAULT '',  -- an operation or an event, '' any
  kind      TEXT NOT NULL,
  remaining INTEGER NOT NULL CHECK (remaining > 0)
);
