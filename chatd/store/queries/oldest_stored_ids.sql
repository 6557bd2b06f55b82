SELECT stored_ids.position, stored_ids.time,
    offline_messages.position IS NOT NULL OR COALESCE(
        (
            SELECT first
            FROM offline_runs
            WHERE last >= stored_ids.position
            ORDER BY last
            LIMIT 1
        ) <= stored_ids.position,
        FALSE
    )
FROM stored_ids
LEFT JOIN offline_messages ON offline_messages.position = stored_ids.position
WHERE stored_ids.position > ?
ORDER BY stored_ids.position
LIMIT ?
