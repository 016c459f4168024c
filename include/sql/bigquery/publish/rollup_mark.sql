-- The mark of the year: when it was counted last, in microseconds.
SELECT COALESCE(UNIX_MICROS(MAX(counted_at)), 0) AS mark
FROM trips.yearly_rollup
WHERE month BETWEEN DATE '{{ year() }}-01-01' AND DATE '{{ year() }}-12-31'
