//! Statements that SQLite and PostgreSQL both understand: `$1`, `ON CONFLICT`, TEXT and BIGINT.

use crate::database::{Insert, Pick};

/// The version of the schema below.
pub(crate) const VERSION: i64 = 9;

/// What leads from each version to the next, from version 1.
pub(crate) const MIGRATIONS: &[&[&str]] = &[
    &[REMEDIATIONS_2, REMEDIATIONS_BY_RESOURCE],
    &[FACTS, IMPORTED],
    &[
        "ALTER TABLE remediations ADD COLUMN problem TEXT",
        "ALTER TABLE remediations ADD COLUMN mode TEXT",
        REMEDIATIONS_BY_PROBLEM,
        WORK,
        WORK_BY_DUE,
        STOPS,
        AUDIT,
        AUDIT_BY_RESOURCE,
    ],
    &[
        "ALTER TABLE remediations ADD COLUMN account TEXT",
        "ALTER TABLE remediations ADD COLUMN rule TEXT",
        "ALTER TABLE remediations ADD COLUMN reach BIGINT NOT NULL DEFAULT 1",
        "ALTER TABLE remediations ADD COLUMN changed BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE problems ADD COLUMN setting TEXT",
        PROBLEMS_BY_SETTING,
        SEEN,
        HOLDS,
    ],
    &[EXEMPTIONS],
    &[TICKETS, TICKETS_BY_DAY, MEMBERS, MEMBERS_BY_TICKET, LOCAL_TICKETS, NOTICES_7],
    &[
        "ALTER TABLE notices ADD COLUMN whom TEXT",
        "ALTER TABLE notices ADD COLUMN rank BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE notices ADD COLUMN urgent BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE notices ADD COLUMN body TEXT",
        NOTICES_UNTOLD,
    ],
    &[SYNCED],
];

/// What brings the schema forward from a version; nothing, where that is a later one.
pub(crate) fn steps(found: i64) -> Option<impl Iterator<Item = &'static str>> {
    let done = usize::try_from(found).ok()?;
    let whole: &'static [&'static [&'static str]] = &[SCHEMA];
    let steps = if done == 0 { whole } else { MIGRATIONS.get(done.checked_sub(1)?..)? };
    Some(steps.iter().copied().flatten().copied())
}

/// As version 2 had it.
const REMEDIATIONS_2: &str = "CREATE TABLE remediations (
    id TEXT NOT NULL PRIMARY KEY, resource TEXT NOT NULL, fix TEXT NOT NULL, state TEXT NOT NULL,
    revision BIGINT NOT NULL, begun BIGINT NOT NULL, due BIGINT, body TEXT NOT NULL)";

const REMEDIATIONS: &str = "CREATE TABLE remediations (
    id TEXT NOT NULL PRIMARY KEY, resource TEXT NOT NULL, fix TEXT NOT NULL, state TEXT NOT NULL,
    revision BIGINT NOT NULL, begun BIGINT NOT NULL, due BIGINT, body TEXT NOT NULL, problem TEXT, mode TEXT,
    account TEXT, rule TEXT, reach BIGINT NOT NULL DEFAULT 1, changed BIGINT NOT NULL DEFAULT 0)";

const REMEDIATIONS_BY_PROBLEM: &str = "CREATE INDEX remediations_by_problem ON remediations (problem, state)";

/// `until` is 0 where nobody is at it.
const WORK: &str = "CREATE TABLE work (
    key TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, rank BIGINT NOT NULL,
    due BIGINT NOT NULL, attempts BIGINT NOT NULL, holder TEXT, until BIGINT NOT NULL, fence BIGINT NOT NULL,
    parked BIGINT, why TEXT)";

const WORK_BY_DUE: &str = "CREATE INDEX work_by_due ON work (parked, due)";

const PROBLEMS_BY_SETTING: &str = "CREATE INDEX problems_by_setting ON problems (setting, opened)";

/// When each setting was first seen wrong.
const SEEN: &str = "CREATE TABLE seen (setting TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL)";

const HOLDS: &str = "CREATE TABLE holds (
    id TEXT NOT NULL PRIMARY KEY, held TEXT NOT NULL, until BIGINT NOT NULL, body TEXT NOT NULL)";

/// `setting` is absent where it is about all of them, `approved` 1 where a second person agreed; `remind` is when
/// to say that it ends, and absent where that was said.
const EXEMPTIONS: &str = "CREATE TABLE exemptions (
    id TEXT NOT NULL PRIMARY KEY, held TEXT NOT NULL, setting TEXT, until BIGINT NOT NULL,
    remind BIGINT, approved BIGINT NOT NULL, body TEXT NOT NULL)";

/// `wanted` counts what was changed in it, `told` what its tracker was told; `rest` is 1 where it is for what was
/// more than a budget.
const TICKETS: &str = "CREATE TABLE tickets (
    id TEXT NOT NULL PRIMARY KEY, tracker TEXT NOT NULL, owner TEXT, rule TEXT, began BIGINT NOT NULL,
    rest BIGINT NOT NULL, wanted BIGINT NOT NULL, told BIGINT NOT NULL, body TEXT NOT NULL)";

const TICKETS_BY_DAY: &str = "CREATE INDEX tickets_by_day ON tickets (began)";

/// The problems that tickets are about: as they are, and as the tracker was told of them. One has no `body` where it
/// is in another ticket now.
const MEMBERS: &str = "CREATE TABLE ticket_members (
    problem TEXT NOT NULL, ticket TEXT NOT NULL, body TEXT, told TEXT, PRIMARY KEY (problem, ticket))";

const MEMBERS_BY_TICKET: &str = "CREATE INDEX ticket_members_by_ticket ON ticket_members (ticket)";

/// As version 7 had it.
const NOTICES_7: &str = "CREATE TABLE notices (name TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL)";

/// Notices that were to be sent, so that each is once. One that waits for others, to be told with them, has a `body`.
const NOTICES: &str = "CREATE TABLE notices (name TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL,
    whom TEXT, rank BIGINT NOT NULL DEFAULT 0, urgent BIGINT NOT NULL DEFAULT 0, body TEXT)";

const NOTICES_UNTOLD: &str = "CREATE INDEX notices_untold ON notices (whom) WHERE body IS NOT NULL";

/// What systems were told of problems, and when it was last looked at what stands there.
const SYNCED: &str = "CREATE TABLE synced (key TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, body TEXT NOT NULL)";

const LOCAL_TICKETS: &str = "CREATE TABLE local_tickets (
    id TEXT NOT NULL PRIMARY KEY, number BIGINT NOT NULL UNIQUE, open BIGINT NOT NULL, body TEXT NOT NULL)";

const STOPS: &str = "CREATE TABLE stops (name TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL)";

const AUDIT: &str = "CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, subject TEXT NOT NULL, resource TEXT, account TEXT,
    digest TEXT NOT NULL, body TEXT NOT NULL)";

const AUDIT_BY_RESOURCE: &str = "CREATE INDEX audit_by_resource ON audit (resource, at)";

const REMEDIATIONS_BY_RESOURCE: &str = "CREATE INDEX remediations_by_resource ON remediations (resource, begun DESC)";

const FACTS: &str = "CREATE TABLE facts (thing TEXT NOT NULL PRIMARY KEY, asked BIGINT NOT NULL, body TEXT NOT NULL)";

const IMPORTED: &str = "CREATE TABLE imported (scope TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL)";

/// Times are microseconds since 1970, UTC; bodies are JSON.
pub(crate) const SCHEMA: &[&str] = &[
    "CREATE TABLE assessments (
        tenant TEXT NOT NULL, id TEXT NOT NULL, problem TEXT NOT NULL,
        micros BIGINT, rank BIGINT NOT NULL, version TEXT NOT NULL, received BIGINT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (tenant, id))",
    "CREATE TABLE versions (
        tenant TEXT NOT NULL, assessment TEXT NOT NULL, version TEXT NOT NULL, received BIGINT NOT NULL,
        PRIMARY KEY (tenant, assessment, version))",
    "CREATE TABLE problems (
        tenant TEXT NOT NULL, id TEXT NOT NULL, resource TEXT NOT NULL, account TEXT,
        open BIGINT NOT NULL, backlog BIGINT NOT NULL, risk BIGINT NOT NULL, severity BIGINT NOT NULL,
        opened BIGINT NOT NULL, due BIGINT, rule TEXT, undetermined BIGINT NOT NULL, body TEXT NOT NULL, setting TEXT,
        PRIMARY KEY (tenant, id))",
    "CREATE INDEX problems_by_urgency ON problems (open DESC, risk DESC, severity DESC, opened, id)",
    "CREATE INDEX problems_by_resource ON problems (resource)",
    "CREATE INDEX problems_by_rule ON problems (rule, backlog)",
    "CREATE TABLE decisions (
        tenant TEXT NOT NULL, assessment TEXT NOT NULL, problem TEXT NOT NULL, at BIGINT NOT NULL,
        version TEXT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (tenant, assessment, version))",
    "CREATE INDEX decisions_by_problem ON decisions (problem, at DESC)",
    "CREATE TABLE unreadable (
        id TEXT NOT NULL PRIMARY KEY, digest TEXT NOT NULL UNIQUE, at BIGINT NOT NULL, resolved BIGINT, body TEXT NOT NULL)",
    "CREATE TABLE rule_sets (digest TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, files TEXT NOT NULL)",
    "CREATE TABLE inputs (account TEXT NOT NULL PRIMARY KEY, last_event BIGINT, last_snapshot BIGINT)",
    REMEDIATIONS,
    REMEDIATIONS_BY_RESOURCE,
    REMEDIATIONS_BY_PROBLEM,
    FACTS,
    IMPORTED,
    WORK,
    WORK_BY_DUE,
    STOPS,
    AUDIT,
    AUDIT_BY_RESOURCE,
    PROBLEMS_BY_SETTING,
    SEEN,
    HOLDS,
    EXEMPTIONS,
    TICKETS,
    TICKETS_BY_DAY,
    MEMBERS,
    MEMBERS_BY_TICKET,
    LOCAL_TICKETS,
    NOTICES,
    NOTICES_UNTOLD,
    SYNCED,
];

/// Returns those that are new.
pub(crate) const ADD_VERSIONS: Insert = Insert {
    into: "INSERT INTO versions (tenant, assessment, version, received)",
    columns: 4,
    then: "ON CONFLICT (tenant, assessment, version) DO NOTHING RETURNING tenant, assessment, version",
};

pub(crate) const PICK_HELD: Pick = Pick {
    key: &["tenant", "id"],
    select: "SELECT a.tenant, a.id, a.micros, a.rank, a.version FROM wanted JOIN assessments AS a \
        ON a.tenant = wanted.tenant AND a.id = wanted.id",
};

pub(crate) const PUT_ASSESSMENTS: Insert = Insert {
    into: "INSERT INTO assessments (tenant, id, problem, micros, rank, version, received, body)",
    columns: 8,
    then: "ON CONFLICT (tenant, id) DO UPDATE SET problem = excluded.problem, micros = excluded.micros, \
        rank = excluded.rank, version = excluded.version, received = excluded.received, body = excluded.body",
};

pub(crate) const LIST_ASSESSMENTS: &str = "SELECT body FROM assessments ORDER BY tenant, id LIMIT $1";

pub(crate) const PICK_PROBLEMS: Pick = Pick {
    key: &["tenant", "id"],
    select: "SELECT p.body FROM wanted JOIN problems AS p ON p.tenant = wanted.tenant AND p.id = wanted.id",
};

pub(crate) const PUT_PROBLEMS: Insert = Insert {
    into: "INSERT INTO problems (tenant, id, resource, account, open, backlog, risk, severity, opened, due, rule, \
        undetermined, body, setting)",
    columns: 14,
    then: "ON CONFLICT (tenant, id) DO UPDATE SET resource = excluded.resource, account = excluded.account, \
        open = excluded.open, backlog = excluded.backlog, risk = excluded.risk, severity = excluded.severity, \
        opened = excluded.opened, due = excluded.due, rule = excluded.rule, undetermined = excluded.undetermined, \
        body = excluded.body, setting = excluded.setting",
};

pub(crate) const PICK_SEEN: Pick =
    Pick { key: &["setting"], select: "SELECT seen.setting FROM wanted JOIN seen ON seen.setting = wanted.setting" };

pub(crate) const PUT_SEEN: Insert =
    Insert { into: "INSERT INTO seen (setting, at)", columns: 2, then: "ON CONFLICT (setting) DO NOTHING" };

pub(crate) const UNDETERMINED: &str = "SELECT a.body FROM assessments a JOIN problems p \
    ON p.tenant = a.tenant AND p.id = a.problem WHERE p.undetermined = 1 ORDER BY a.tenant, a.id";

pub(crate) const LIST_PROBLEMS: &str = "SELECT body FROM problems WHERE ($1 IS NULL OR open = $1) \
    AND ($2 IS NULL OR backlog = $2) AND ($3 IS NULL OR rule = $3) AND ($4 IS NULL OR account = $4) \
    AND ($5 IS NULL OR due >= $5 AND due < $6) ORDER BY open DESC, risk DESC, severity DESC, opened, id LIMIT $7";

pub(crate) const FIND_PROBLEMS: &str = "SELECT body FROM problems WHERE (id >= $1 AND id < $1 || 'g') OR resource = $2 \
    OR id IN (SELECT problem FROM assessments WHERE id = $3) ORDER BY id LIMIT 100";

pub(crate) const RELEASABLE: &str = "SELECT body FROM problems WHERE id = $1 AND open = 1 AND backlog = 1";

pub(crate) const PUT_DECISIONS: Insert = Insert {
    into: "INSERT INTO decisions (tenant, assessment, version, problem, at, body)",
    columns: 6,
    then: "ON CONFLICT (tenant, assessment, version) DO UPDATE SET at = excluded.at, problem = excluded.problem, \
        body = excluded.body",
};

pub(crate) const LIST_DECISIONS: &str =
    "SELECT body FROM decisions WHERE problem = $1 ORDER BY at DESC, assessment, version LIMIT 100";

pub(crate) const PUT_PARKED: Insert = Insert {
    into: "INSERT INTO unreadable (id, digest, at, resolved, body)",
    columns: 5,
    then: "ON CONFLICT (digest) DO UPDATE SET resolved = NULL",
};

pub(crate) const LIST_PARKED: &str =
    "SELECT body, resolved FROM unreadable WHERE ($1 = 1 OR resolved IS NULL) ORDER BY id DESC LIMIT $2";

pub(crate) const FIND_PARKED: &str =
    "SELECT body, resolved FROM unreadable WHERE id >= $1 AND id < $1 || '~' ORDER BY id LIMIT 1";

pub(crate) const RESOLVE_PARKED: &str = "UPDATE unreadable SET resolved = $2 WHERE id = $1 AND resolved IS NULL";

pub(crate) const PUT_RULES: &str =
    "INSERT INTO rule_sets (digest, at, files) VALUES ($1, $2, $3) ON CONFLICT (digest) DO NOTHING";

pub(crate) const GET_RULES: &str = "SELECT files FROM rule_sets WHERE digest = $1";

pub(crate) const PICK_INPUTS: Pick = Pick {
    key: &["account"],
    select: "SELECT i.account, i.last_event, i.last_snapshot FROM wanted JOIN inputs AS i \
        ON i.account = wanted.account",
};

/// One row for each account: whoever writes several takes them in the order of their names.
pub(crate) const PUT_INPUTS: Insert = Insert {
    into: "INSERT INTO inputs (account, last_event, last_snapshot)",
    columns: 3,
    then: "ON CONFLICT (account) DO UPDATE SET last_event = COALESCE(excluded.last_event, inputs.last_event), \
        last_snapshot = COALESCE(excluded.last_snapshot, inputs.last_snapshot)",
};

pub(crate) const PICK_FACTS: Pick = Pick {
    key: &["thing"],
    select: "SELECT f.thing, f.asked, f.body FROM wanted JOIN facts AS f ON f.thing = wanted.thing",
};

pub(crate) const PUT_FACTS: Insert = Insert {
    into: "INSERT INTO facts (thing, asked, body)",
    columns: 3,
    then: "ON CONFLICT (thing) DO UPDATE SET asked = excluded.asked, body = excluded.body \
        WHERE facts.asked <= excluded.asked",
};

pub(crate) const LIST_IMPORTED: &str = "SELECT scope, at FROM imported ORDER BY scope";

pub(crate) const PUT_IMPORTED: &str =
    "INSERT INTO imported (scope, at) VALUES ($1, $2) ON CONFLICT (scope) DO UPDATE SET at = excluded.at";

pub(crate) const FORGET_IMPORTED: Pick =
    Pick { key: &["scope"], select: "DELETE FROM imported WHERE scope IN (SELECT scope FROM wanted)" };

pub(crate) const LIST_INPUTS: &str = "SELECT account, last_event, last_snapshot FROM inputs ORDER BY account";

/// None begins on a resource where another has not ended.
pub(crate) const ADD_REMEDIATION: &str = "INSERT INTO remediations \
    (id, resource, fix, state, revision, begun, due, body, problem, mode, account, rule, reach, changed) \
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14 \
    WHERE NOT EXISTS (SELECT 1 FROM remediations WHERE id = $1 OR resource = $2 \
    AND state IN ('awaiting-approval', 'planned', 'applying', 'applied', 'undoing'))";

/// Whoever saw an older revision is too late; none comes to a resource ($7) while another
/// is at it. What begins to write begins now, as budgets count.
pub(crate) const PUT_REMEDIATION: &str = "UPDATE remediations SET \
    begun = CASE WHEN $2 = 'applying' AND state = 'planned' THEN $6 ELSE begun END, \
    state = $2, revision = $3, due = $4, body = $5, changed = $6 WHERE id = $1 AND revision = $3 - 1 AND ($7 = 0 OR NOT EXISTS (SELECT 1 FROM remediations AS other \
    WHERE other.resource = remediations.resource AND other.id <> $1 \
    AND other.state IN ('planned', 'applying', 'applied', 'undoing')))";

pub(crate) const REMEDIATIONS_OF: &str =
    "SELECT id, body FROM remediations WHERE problem = $1 ORDER BY begun DESC, id DESC LIMIT 100";

/// Those of problems that their source has not confirmed yet.
pub(crate) const PICK_UNCONFIRMED: Pick = Pick {
    key: &["problem"],
    select: "SELECT r.id, r.body FROM wanted JOIN remediations AS r ON r.problem = wanted.problem \
        WHERE r.state IN ('set', 'parked') ORDER BY r.id",
};

pub(crate) const SURGE: &str = "SELECT COUNT(*) FROM problems WHERE setting = $1 AND open = 1 AND opened >= $2";

pub(crate) const FIRST_SEEN: &str = "SELECT at FROM seen WHERE setting = $1";

pub(crate) const FAILURES: &str = "SELECT COUNT(*) FROM remediations WHERE mode IS NOT NULL \
    AND state IN ('failed', 'parked') AND changed >= $1";

/// What was begun by itself to be written, by its reach: in all, in the account, for the rule.
pub(crate) const BEGUN: &str = "SELECT CAST(COALESCE(SUM(reach), 0) AS BIGINT), \
    CAST(COALESCE(SUM(CASE WHEN account = $2 THEN reach ELSE 0 END), 0) AS BIGINT), \
    CAST(COALESCE(SUM(CASE WHEN rule = $3 THEN reach ELSE 0 END), 0) AS BIGINT) FROM remediations \
    WHERE mode = 'enforce' AND (begun >= $1 OR state = 'planned') AND state NOT IN ('superseded', 'blocked')";

pub(crate) const HOLDS_ON: &str = "SELECT body FROM holds WHERE (held IN ($1, $2, $3) \
    OR substr($1, 1, length(held) + 1) = held || '/' OR substr($2, 1, length(held) + 1) = held || '/' \
    OR held LIKE 'tag:%') AND until > $4 ORDER BY id";

pub(crate) const LIST_HOLDS: &str = "SELECT body FROM holds WHERE until > $1 ORDER BY until, id";

pub(crate) const PUT_HOLD: &str = "INSERT INTO holds (id, held, until, body) VALUES ($1, $2, $3, $4)";

pub(crate) const DROP_HOLD: &str = "DELETE FROM holds WHERE id = $1 RETURNING body";

pub(crate) const EXEMPTIONS_ON: &str = "SELECT body FROM exemptions WHERE (held IN ($1, $2, $3) \
    OR substr($1, 1, length(held) + 1) = held || '/' OR substr($2, 1, length(held) + 1) = held || '/') \
    AND until > $4 AND (setting IS NULL OR setting = $5) ORDER BY id";

pub(crate) const LIST_EXEMPTIONS: &str = "SELECT body FROM exemptions WHERE until > $1 ORDER BY until, id";

pub(crate) const ADD_EXEMPTION: &str =
    "INSERT INTO exemptions (id, held, setting, until, remind, approved, body) VALUES ($1, $2, $3, $4, $5, 0, $6)";

pub(crate) const APPROVE_EXEMPTION: &str =
    "UPDATE exemptions SET approved = 1, body = $2 WHERE id = $1 AND approved = 0 AND until > $3";

pub(crate) const DROP_EXEMPTION: &str = "DELETE FROM exemptions WHERE id = $1 RETURNING body";

/// Those that are about to end, each once.
pub(crate) const REMIND_EXEMPTIONS: &str =
    "UPDATE exemptions SET remind = NULL WHERE approved = 1 AND until > $1 AND remind <= $1 RETURNING body";

/// Work that was not taken up yet takes a new due date; what waits after it was, keeps its own. Whoever is
/// at it now saw what was before: theirs counts for nothing any more, and it is due again.
pub(crate) const PUT_WORK: Insert = Insert {
    into: "INSERT INTO work (key, kind, subject, rank, due, attempts, until, fence)",
    columns: 8,
    then: "ON CONFLICT (key) DO UPDATE SET rank = excluded.rank, \
        due = CASE WHEN work.attempts = 0 OR work.until > 0 THEN excluded.due ELSE work.due END, \
        fence = CASE WHEN work.until > 0 THEN work.fence + 1 ELSE work.fence END, \
        attempts = CASE WHEN work.until > 0 THEN 0 ELSE work.attempts END, holder = NULL, until = 0",
};

/// What waits for a person is tried again, as something of it changed.
pub(crate) const RENEW_PARKED: Pick = Pick {
    key: &["key"],
    select: "UPDATE work SET parked = NULL, why = NULL, attempts = 0 WHERE parked IS NOT NULL \
        AND key IN (SELECT key FROM wanted)",
};

/// Takes up the most urgent piece of work that is due and that nobody is at; `$past` what others are about to.
macro_rules! claim_work {
    ($past:literal) => {
        concat!(
            "UPDATE work SET holder = $1, until = $2, fence = fence + 1, attempts = attempts + 1 WHERE key = \
            (SELECT key FROM work WHERE parked IS NULL AND due <= $3 AND until <= $3 AND kind IN ($4, $5) \
            ORDER BY rank DESC, due, key LIMIT 1",
            $past,
            ") RETURNING key, kind, subject, due, attempts, until, parked, why, fence"
        )
    };
}

pub(crate) const CLAIM_WORK: &str = claim_work!("");
pub(crate) const CLAIM_WORK_AMONG_OTHERS: &str = claim_work!(" FOR UPDATE SKIP LOCKED");

/// Takes up one piece of work, unless somebody else is at it. Who is at it already keeps the number.
pub(crate) const LEASE_WORK: &str = "INSERT INTO work \
    (key, kind, subject, rank, due, attempts, holder, until, fence, parked, why) \
    VALUES ($1, $2, $3, $4, $5, 1, $6, $7, 1, NULL, NULL) ON CONFLICT (key) DO UPDATE SET holder = excluded.holder, \
    until = excluded.until, due = excluded.due, parked = NULL, \
    fence = CASE WHEN work.holder = excluded.holder THEN work.fence ELSE work.fence + 1 END \
    WHERE work.until <= $5 OR work.holder = excluded.holder RETURNING fence";

/// Whoever has the lease has it for longer; nobody else is touched.
pub(crate) const RENEW_WORK: &str = "UPDATE work SET until = $4 WHERE key = $1 AND holder = $2 AND fence = $3";

pub(crate) const FINISH_WORK: &str = "DELETE FROM work WHERE key = $1 AND holder = $2 AND fence = $3";

pub(crate) const LEAVE_WORK: &str = "UPDATE work SET due = $4, attempts = CASE WHEN $5 = 1 THEN 0 ELSE attempts END, \
    parked = $6, why = $7, holder = NULL, until = 0 WHERE key = $1 AND holder = $2 AND fence = $3";

/// What is in the queue stays as it is; whoever is at it sees what changed before they end.
pub(crate) const ADD_WORK: Insert = Insert {
    into: "INSERT INTO work (key, kind, subject, rank, due, attempts, until, fence)",
    columns: 8,
    then: "ON CONFLICT (key) DO NOTHING",
};

pub(crate) const TICKET_OF: &str = "SELECT ticket, body FROM ticket_members WHERE problem = $1 AND body IS NOT NULL";

pub(crate) const GET_TICKET: &str = "SELECT body, wanted FROM tickets WHERE id = $1";

pub(crate) const LIST_TICKETS: &str = "SELECT body, wanted FROM tickets ORDER BY began DESC, id LIMIT $1";

pub(crate) const MEMBERS_OF_NEWEST: &str = "SELECT problem, body, told, ticket FROM ticket_members WHERE ticket IN \
    (SELECT id FROM tickets ORDER BY began DESC, id LIMIT $1)";

pub(crate) const MEMBERS_OF: &str = "SELECT problem, body, told FROM ticket_members WHERE ticket = $1";

pub(crate) const COUNT_TICKETS: &str = "SELECT CAST(COALESCE(SUM(CASE WHEN owner = $2 THEN 1 ELSE 0 END), 0) AS BIGINT), \
    CAST(COALESCE(SUM(CASE WHEN rule = $3 THEN 1 ELSE 0 END), 0) AS BIGINT) FROM tickets WHERE began >= $1 AND rest = 0";

pub(crate) const ADD_TICKET: &str = "INSERT INTO tickets (id, tracker, owner, rule, began, rest, wanted, told, body) \
    VALUES ($1, $2, $3, $4, $5, $6, 1, 0, $7) ON CONFLICT (id) DO UPDATE SET wanted = tickets.wanted + 1";

pub(crate) const CHANGE_TICKET: &str = "UPDATE tickets SET wanted = wanted + 1 WHERE id = $1";

pub(crate) const PUT_MEMBER: &str = "INSERT INTO ticket_members (problem, ticket, body) VALUES ($1, $2, $3) \
    ON CONFLICT (problem, ticket) DO UPDATE SET body = excluded.body";

pub(crate) const MOVE_MEMBER: &str = "UPDATE ticket_members SET body = NULL WHERE problem = $1 AND ticket = $2";

/// What moved away is forgotten once that was told.
pub(crate) const FORGET_MOVED: &str = "DELETE FROM ticket_members WHERE ticket = $1 AND body IS NULL AND told IS NULL";

pub(crate) const BEGIN_TELLING: &str = "UPDATE tickets SET body = $3 WHERE id = $1 AND told = $2";

/// Only whoever saw what was told last tells more.
pub(crate) const TELL_TICKET: &str = "UPDATE tickets SET told = $2, body = $3 WHERE id = $1 AND told = $2 - 1";

pub(crate) const UNTELL_MEMBERS: &str = "UPDATE ticket_members SET told = NULL WHERE ticket = $1";

/// What it was told of a problem; that moved away, where it is not known here any more.
pub(crate) const TELL_MEMBERS: Insert = Insert {
    into: "INSERT INTO ticket_members (problem, ticket, told)",
    columns: 3,
    then: "ON CONFLICT (problem, ticket) DO UPDATE SET told = excluded.told",
};

/// Ends the telling of a ticket that nobody changed meanwhile.
pub(crate) const FINISH_TELLING: &str = "DELETE FROM work WHERE key = $1 AND holder = $2 AND fence = $3 \
    AND EXISTS (SELECT 1 FROM tickets WHERE id = $4 AND wanted = $5)";

pub(crate) const GET_LOCAL_TICKET: &str = "SELECT body FROM local_tickets WHERE id = $1";

pub(crate) const FIND_LOCAL_TICKET: &str = "SELECT body FROM local_tickets WHERE number = $1";

pub(crate) const LIST_LOCAL_TICKETS: &str = "SELECT body FROM local_tickets WHERE $1 IS NULL OR open = $1 \
    ORDER BY open DESC, number DESC LIMIT $2";

pub(crate) const LAST_LOCAL_TICKET: &str = "SELECT CAST(COALESCE(MAX(number), 0) AS BIGINT) FROM local_tickets";

pub(crate) const PUT_LOCAL_TICKET: &str = "INSERT INTO local_tickets (id, number, open, body) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (id) DO UPDATE SET open = excluded.open, body = excluded.body";

pub(crate) const ADD_NOTICE: &str = "INSERT INTO notices (name, at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";

/// What people are to be told, once.
pub(crate) const ADD_NEWS: Insert = Insert {
    into: "INSERT INTO notices (name, at, whom, rank, urgent, body)",
    columns: 6,
    then: "ON CONFLICT (name) DO NOTHING",
};

pub(crate) const UNTOLD: &str = "SELECT whom, MIN(at), MAX(rank), MAX(urgent), COUNT(*) FROM notices \
    WHERE body IS NOT NULL GROUP BY whom ORDER BY whom";

/// Has somebody told. Where that waits already it may come sooner; who failed to do it waits on.
pub(crate) const GATHER_NEWS: &str = "INSERT INTO work (key, kind, subject, rank, due, attempts, until, fence) \
    VALUES ($1, $2, $3, $4, $5, 0, 0, 0) ON CONFLICT (key) DO UPDATE SET due = excluded.due \
    WHERE work.due > excluded.due AND work.attempts = 0 AND work.until = 0 AND work.parked IS NULL";

pub(crate) const NEWS_FOR: &str = "SELECT name, body FROM notices WHERE whom = $1 AND body IS NOT NULL \
    ORDER BY rank DESC, at, name LIMIT 10000";

pub(crate) const NEWS_TOLD: Pick =
    Pick { key: &["name"], select: "UPDATE notices SET body = NULL WHERE name IN (SELECT name FROM wanted)" };

/// A problem, by its id alone: decisions know its tenant.
pub(crate) const GET_PROBLEM: &str = "SELECT body FROM problems WHERE id = $1 \
    AND tenant IN (SELECT tenant FROM decisions WHERE problem = $1)";

pub(crate) const FORGET_NOTICES: &str = "DELETE FROM notices WHERE at < $1 AND body IS NULL";

pub(crate) const GET_SYNCED: &str = "SELECT body FROM synced WHERE key = $1";

pub(crate) const LIST_SYNCED: &str = "SELECT key, at, body FROM synced ORDER BY at DESC, key LIMIT $1";

pub(crate) const PUT_SYNCED: &str = "INSERT INTO synced (key, at, body) VALUES ($1, $2, $3) \
    ON CONFLICT (key) DO UPDATE SET at = excluded.at, body = excluded.body";

pub(crate) const SYNCED_SINCE: &str = "SELECT key FROM synced WHERE at > $1";

/// The problems of a setting on a resource, whosever they are.
pub(crate) const PROBLEMS_OF_SETTING: &str = "SELECT body FROM problems WHERE resource = $1 AND setting = $2";

/// The problems that are in a ticket.
pub(crate) const MEMBERS_NOW: &str = "SELECT problem FROM ticket_members WHERE ticket = $1 AND body IS NOT NULL \
    AND ($2 = 1 OR told IS NULL)";

/// What nobody is at waits for a person.
pub(crate) const PARK_WORK: &str = "UPDATE work SET parked = $2, why = $3 WHERE key = $1 AND until = 0";

pub(crate) const DROP_WORK: Pick =
    Pick { key: &["key"], select: "DELETE FROM work WHERE key IN (SELECT key FROM wanted)" };

/// All that is parked; or one piece, parked or put off, that nobody is at.
pub(crate) const RETRY_WORK: &str = "UPDATE work SET parked = NULL, attempts = 0, due = $2, why = NULL \
    WHERE key = $1 AND until <= $2 OR $1 = '' AND parked IS NOT NULL";

/// What a hold or an exemption held back is due again: where another does, too, that is said anew. Whoever plans
/// now may have seen it: theirs counts for nothing any more.
pub(crate) const HASTEN_HELD: &str = "UPDATE work SET due = $1, holder = NULL, until = 0, why = NULL, \
    fence = CASE WHEN until > 0 THEN fence + 1 ELSE fence END WHERE parked IS NULL \
    AND (until = 0 AND due > $1 AND (why LIKE 'hold: %' OR why LIKE 'own-exemption: %') OR until > 0 AND kind = 'remedy')";

pub(crate) const LIST_WORK: &str = "SELECT key, kind, subject, due, attempts, until, parked, why, fence FROM work \
    ORDER BY parked IS NULL, rank DESC, due, key LIMIT $1";

pub(crate) const GET_WORK: &str =
    "SELECT key, kind, subject, due, attempts, until, parked, why, fence FROM work WHERE key = $1";

pub(crate) const GET_STOP: &str = "SELECT body FROM stops WHERE name = 'all'";

pub(crate) const PUT_STOP: &str = "INSERT INTO stops (name, body) VALUES ('all', $1) ON CONFLICT (name) DO NOTHING";

pub(crate) const DROP_STOP: &str = "DELETE FROM stops WHERE name = 'all'";

pub(crate) const LAST_AUDIT: &str = "SELECT seq, digest FROM audit ORDER BY seq DESC LIMIT 1";

pub(crate) const ADD_AUDIT: Insert =
    Insert { into: "INSERT INTO audit (seq, at, subject, resource, account, digest, body)", columns: 7, then: "" };

pub(crate) const LIST_AUDIT: &str = "SELECT body FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2";

pub(crate) const FIND_AUDIT: &str = "SELECT body FROM audit WHERE subject = $1 ORDER BY seq DESC LIMIT 1";

pub(crate) const DIGEST_OF_AUDIT: &str = "SELECT digest FROM audit WHERE seq = $1";

pub(crate) const PURGE_AUDIT: &str = "DELETE FROM audit WHERE seq <= $1";

pub(crate) const RECENT_AUDIT: &str = "SELECT body FROM audit WHERE (resource = $1 OR account = $1) AND at >= $2 \
    ORDER BY seq LIMIT 10000";

pub(crate) const FIND_REMEDIATIONS: &str =
    "SELECT id, body FROM remediations WHERE id >= $1 AND id < $1 || '~' ORDER BY id LIMIT 2";

pub(crate) const LIST_REMEDIATIONS: &str = "SELECT id, body FROM remediations WHERE ($1 IS NULL OR resource = $1) \
    AND ($2 IS NULL OR state = $2) ORDER BY begun DESC, id DESC LIMIT $3";

pub(crate) const NEXT_REMEDIATIONS: &str =
    "SELECT id, body, revision FROM remediations WHERE id > $1 ORDER BY id LIMIT 100";

pub(crate) const RESEAL: &str = "UPDATE remediations SET body = $3 WHERE id = $1 AND revision = $2";
