{#- Waits for locks, in a PL/pgSQL block that declares the variables of `lock_variables`. A session that waits for
    a strong lock makes all later readers of the table wait behind it. So each wait is short, and the error of one that
    was in vain says who holds the lock. A block locks all its tables before it changes anything. #}
{%- macro lock_variables() %}
    awaited text;
    awaited_mode text;
    awaited_since timestamptz;
{%- endmacro %}

{%- macro lock_table(table, mode) %}
    awaited := '{{ table }}';
    awaited_mode := '{{ mode }}';
    awaited_since := clock_timestamp();
    SET LOCAL lock_timeout = '2s';
    LOCK TABLE ONLY {{ table }} IN {{ mode }} MODE;
{%- endmacro %}

{#- One session at a time goes on from here, until the end of its transaction. No reader waits for this lock. #}
{%- macro take_turn(name) %}
    awaited := '{{ name }}';
    awaited_mode := 'ADVISORY';
    awaited_since := clock_timestamp();
    SET LOCAL lock_timeout = '10s';
    PERFORM pg_advisory_xact_lock(hashtext(awaited));
{%- endmacro %}

{#- The end of the block. The state of another user's session is visible to members of pg_read_all_stats only. #}
{%- macro name_holders() %}
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    RAISE EXCEPTION USING
        ERRCODE = 'lock_not_available',
        MESSAGE = format('%s is locked by ', awaited) || coalesce(
            (
                SELECT string_agg(
                    format(
                        '%s (user %s, application %s, %s)',
                        coalesce('pid ' || held.pid, 'a prepared transaction'),
                        coalesce(session.usename::text, 'unknown'),
                        coalesce(nullif(session.application_name, ''), 'without a name'),
                        CASE
                            WHEN session.state IS NULL THEN 'state not visible to ' || current_user
                            ELSE concat(
                                session.state,
                                to_char(
                                    session.xact_start AT TIME ZONE 'UTC',
                                    '", transaction since" YYYY-MM-DD HH24:MI:SS "UTC"'
                                ),
                                to_char(
                                    session.query_start AT TIME ZONE 'UTC',
                                    '", query since" YYYY-MM-DD HH24:MI:SS "UTC"'
                                )
                            )
                        END
                    ),
                    '; ' ORDER BY held.pid
                )
                FROM (
                    SELECT DISTINCT pid
                    FROM pg_locks
                    WHERE
                        granted
                        AND pid IS DISTINCT FROM pg_backend_pid()
                        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                        AND CASE locktype
                            WHEN 'relation'
                                THEN relation = to_regclass(awaited)
                                AND (mode <> 'AccessShareLock' OR awaited_mode = 'ACCESS EXCLUSIVE')
                            WHEN 'advisory'
                                THEN objid::bigint = hashtext(awaited) & 4294967295 AND awaited_mode = 'ADVISORY'
                        END
                ) AS held
                LEFT JOIN pg_stat_activity AS session ON held.pid = session.pid
                -- Younger ones had to wait for this block.
                WHERE session.xact_start IS NULL OR session.xact_start <= awaited_since
            ),
            'a session that has ended meanwhile'
        );
{%- endmacro %}
