-- Lets an execution begin, unless it could be one too many: counted before it begins, it is counted however it ends.
--
-- What counts is every other execution that died, that is under way, or that may have died unseen.
--
-- KEYS[1]  mc:<batch>:strikes  see strike.lua
-- KEYS[2]  mc:<batch>:resume   see begin.lua: another run that has taken the chunk over may have begun it, too
-- ARGV     subject, run, earlier runs whose fate nobody saw (words), most executions, TTL in seconds, chunk id
-- Returns  0 if it may begin, else how many there were. Asked twice by one run, it is claimed once.

local subject, run = ARGV[1], ARGV[2]
local claims = redis.call('hget', KEYS[1], 'claims ' .. subject) or ''
local deaths = redis.call('hget', KEYS[1], 'deaths ' .. subject) or ''
local known, count, unseen = {[run] = true}, 0, ARGV[3]
local other, before = string.match(
  redis.call('hget', KEYS[2], ARGV[6]) or '', '^%d+,%d+,%d+,%d+,([^,]+),([^,]*)$')
if other and other ~= run then unseen = unseen .. ' ' .. before .. ' ' .. other end

for word in string.gmatch(claims, '%S+') do
  if word == run then return 0 end
end
for word in string.gmatch(deaths .. ' ' .. claims, '%S+') do
  if not known[word] then
    known[word] = true
    count = count + 1
  end
end
for word in string.gmatch(unseen, '%S+') do
  if not known[word] and redis.call('hexists', KEYS[1], 'named ' .. word) == 0 then
    count = count + 1
    break -- of those runs, one at most has had this item
  end
end
if count >= tonumber(ARGV[4]) then return count end
redis.call('hset', KEYS[1], 'claims ' .. subject, claims == '' and run or claims .. ' ' .. run)
redis.call('expire', KEYS[1], ARGV[5])
return 0
