-- A disk store as version 4 of its tables had it, with one session.
PRAGMA application_id = 1819045232;
PRAGMA user_version = 4;
BEGIN TRANSACTION;
CREATE TABLE affinity (id INTEGER PRIMARY KEY, key TEXT UNIQUE, size INTEGER, check_sum INTEGER, ends REAL,
        used REAL);
CREATE TABLE affinity_values (id INTEGER PRIMARY KEY, value BLOB);
CREATE TABLE blobs (id INTEGER PRIMARY KEY, key TEXT UNIQUE, size INTEGER, check_sum INTEGER, ends REAL,
        used REAL);
CREATE TABLE blobs_values (id INTEGER PRIMARY KEY, value BLOB);
CREATE TABLE breakers (target TEXT PRIMARY KEY, retry_at REAL, recovery REAL, probe_until REAL,
    rest_until REAL, used REAL) WITHOUT ROWID;
CREATE TABLE known (tenant TEXT, key TEXT, session INTEGER, turn INTEGER,
        PRIMARY KEY (tenant, key)) WITHOUT ROWID;
INSERT INTO "known" VALUES('tenant-one','a',1,1);
CREATE TABLE quotas (key TEXT PRIMARY KEY, base REAL, slots TEXT, warned INTEGER, chosen INTEGER, used REAL,
        ends REAL) WITHOUT ROWID;
CREATE TABLE responses (id INTEGER PRIMARY KEY, key TEXT UNIQUE, size INTEGER, check_sum INTEGER, ends REAL,
        used REAL);
CREATE TABLE responses_values (id INTEGER PRIMARY KEY, value BLOB);
CREATE TABLE sessions (id INTEGER PRIMARY KEY, name TEXT UNIQUE, tenant TEXT, client TEXT, started REAL,
        seen REAL, requests INTEGER, errors INTEGER, input INTEGER, output INTEGER, models TEXT, sketch BLOB,
        cost REAL DEFAULT 0, unpriced INTEGER DEFAULT 0);
INSERT INTO "sessions" VALUES(1,'s','tenant-one','key one',1800000000.0,1800000000.0,3,0,900,40,'["m"]',X'',0.5,0);
CREATE TABLE totals (name TEXT PRIMARY KEY, entries INTEGER, bytes INTEGER);
INSERT INTO "totals" VALUES('blobs',0,0);
INSERT INTO "totals" VALUES('responses',0,0);
INSERT INTO "totals" VALUES('affinity',0,0);
INSERT INTO "totals" VALUES('sessions',1,0);
INSERT INTO "totals" VALUES('quotas',0,0);
CREATE INDEX blobs_used ON blobs (used);
CREATE INDEX blobs_ends ON blobs (ends);
CREATE TRIGGER blobs_added AFTER INSERT ON blobs BEGIN
        UPDATE totals SET entries = entries + 1, bytes = bytes + NEW.size WHERE name = 'blobs'; END;
CREATE TRIGGER blobs_removed AFTER DELETE ON blobs BEGIN
        DELETE FROM blobs_values WHERE id = OLD.id;
        UPDATE totals SET entries = entries - 1, bytes = bytes - OLD.size WHERE name = 'blobs'; END;
CREATE INDEX responses_used ON responses (used);
CREATE INDEX responses_ends ON responses (ends);
CREATE TRIGGER responses_added AFTER INSERT ON responses BEGIN
        UPDATE totals SET entries = entries + 1, bytes = bytes + NEW.size WHERE name = 'responses'; END;
CREATE TRIGGER responses_removed AFTER DELETE ON responses BEGIN
        DELETE FROM responses_values WHERE id = OLD.id;
        UPDATE totals SET entries = entries - 1, bytes = bytes - OLD.size WHERE name = 'responses'; END;
CREATE INDEX affinity_used ON affinity (used);
CREATE INDEX affinity_ends ON affinity (ends);
CREATE TRIGGER affinity_added AFTER INSERT ON affinity BEGIN
        UPDATE totals SET entries = entries + 1, bytes = bytes + NEW.size WHERE name = 'affinity'; END;
CREATE TRIGGER affinity_removed AFTER DELETE ON affinity BEGIN
        DELETE FROM affinity_values WHERE id = OLD.id;
        UPDATE totals SET entries = entries - 1, bytes = bytes - OLD.size WHERE name = 'affinity'; END;
CREATE INDEX sessions_seen ON sessions (seen);
CREATE INDEX sessions_tenant ON sessions (tenant, seen);
CREATE INDEX known_session ON known (session, turn);
CREATE TRIGGER session_added AFTER INSERT ON sessions BEGIN
        UPDATE totals SET entries = entries + 1 WHERE name = 'sessions'; END;
CREATE TRIGGER session_removed AFTER DELETE ON sessions BEGIN
        DELETE FROM known WHERE session = OLD.id;
        UPDATE totals SET entries = entries - 1 WHERE name = 'sessions'; END;
CREATE INDEX quotas_ends ON quotas (ends);
CREATE INDEX quotas_used ON quotas (chosen, used);
CREATE TRIGGER quota_added AFTER INSERT ON quotas WHEN NEW.chosen BEGIN
        UPDATE totals SET entries = entries + 1 WHERE name = 'quotas'; END;
CREATE TRIGGER quota_removed AFTER DELETE ON quotas WHEN OLD.chosen BEGIN
        UPDATE totals SET entries = entries - 1 WHERE name = 'quotas'; END;
COMMIT;
