-- Begins an execution of a plain Celery call that was delivered before.
-- KEYS[1]  mc:plain:<task id>, a hash: execution -> how it ended: in words; "" while nobody knows; "-" if it did no harm
-- ARGV[1]  this execution    ARGV[2]  seconds that the key lives
-- Returns  how many others have begun and were not harmless, and how the last of those that are known ended.
-- Nobody notes a first delivery's execution but who sees it die, so one is taken for begun. To run it twice for one
-- execution (its answer got lost) does no more than once.
redis.call('hsetnx', KEYS[1], 'first', '')
local found = redis.call('hgetall', KEYS[1])
local others, cause = 0, ''
for i = 1, #found, 2 do
  if found[i] ~= ARGV[1] and found[i + 1] ~= '-' then
    others = others + 1
    if found[i + 1] ~= '' then cause = found[i + 1] end
  end
end
redis.call('hset', KEYS[1], ARGV[1], '')
redis.call('expire', KEYS[1], ARGV[2])
return {others, cause}
