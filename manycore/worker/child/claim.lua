-- Lets an execution begin, unless it could be one too many: counted before it begins, it is counted however it ends.
--
-- What counts is every other execution that died, that is under way, or that may have died unseen.
--
-- KEYS[1]  mc:<batch>:strikes  see strike.lua
-- KEYS[2]  mc:<batch>:resume   see begin.lua: another run that has taken the chunk over may have begun it, too
-- ARGV     subject, run, earlier runs whose fate nobody saw (words), most executions, TTL in seconds, chunk id
--          `?` among the runs: the message got lost, and any other chunk may have begun the item
-- Returns  0 if it may begin, else how many there were. Asked twice by one run, it is claimed once.

local subject, run, id = ARGV[1], ARGV[2], ARGV[6]
local claims = redis.call('hget', KEYS[1], 'claims ' .. subject) or ''
local deaths = redis.call('hget', KEYS[1], 'deaths ' .. subject) or ''
local known, count = {[run] = true}, 0

-- Whether one of these runs may have it, or have died of it unseen. Of the runs of a chunk, one at most has begun it.
local function unseen(runs)
  for word in string.gmatch(runs, '[^ ?]+') do
    if not known[word] and redis.call('hexists', KEYS[1], 'named ' .. word) == 0 then return 1 end
  end
  return 0
end

local function runs_of(field)
  local other, before = string.match(field, '^%d+,%d+,%d+,%d+,%d+,([^,]+),([^,]*)$')
  return other and before .. ' ' .. other or ''
end

local function begun_in(field)
  local first, start, begun = string.match(field, '^(%d+),(%d+),%d+,%d+,(%d+),')
  local position = first and tonumber(subject) - first
  return position and tonumber(start) <= position and position < tonumber(begun)
end

for word in string.gmatch(claims, '%S+') do
  if word == run then return 0 end
end
for word in string.gmatch(deaths .. ' ' .. claims, '%S+') do
  if not known[word] then
    known[word] = true
    count = count + 1
  end
end
local own = redis.call('hget', KEYS[2], id) or ''
local taken = string.find(runs_of(own), run, 1, true) and '' or runs_of(own)
count = count + unseen(ARGV[3] .. ' ' .. taken)
if tonumber(subject) and string.find(ARGV[3], '?', 1, true) then
  local found = redis.call('hgetall', KEYS[2])
  for i = 1, #found, 2 do
    if found[i] ~= id and begun_in(found[i + 1]) then count = count + unseen(runs_of(found[i + 1])) end
  end
end
if count >= tonumber(ARGV[4]) then return count end
redis.call('hset', KEYS[1], 'claims ' .. subject, claims == '' and run or claims .. ' ' .. run)
redis.call('expire', KEYS[1], ARGV[5])
return 0
