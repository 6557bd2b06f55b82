DELETE FROM offline_runs WHERE target IN (SELECT id FROM removed_users);
DELETE FROM offline_messages WHERE target IN (SELECT id FROM removed_users);
DELETE FROM queue_shares WHERE target IN (SELECT id FROM removed_users);
DELETE FROM stored_ids
WHERE sender IN (SELECT id FROM removed_users)
      OR target IN (SELECT id FROM removed_users);
DELETE FROM users WHERE id IN (SELECT id FROM removed_users);
DELETE FROM removed_users;
DELETE FROM account_changes;
