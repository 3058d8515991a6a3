-- Takes the next messages of some queues and records them as delivered, in one step: who takes them may die at any moment.
--
-- Several at once, up to half of those that wait, so that as many are left for other workers; and no further one once
-- they are large together, since all are in one answer.
-- Recorded before it is taken away: a server that is full refuses the record, and the message stays where it is.
-- What is known to be for other workers stays where it is, and keeps nobody from what is behind it.
--
-- KEYS[1]  manycore-unacked        hash: delivery tag -> [message, exchange, routing key], as kombu keeps it
-- KEYS[2]  manycore-unacked-index  zset: delivery tag -> when it was delivered, by the server's clock
-- KEYS     then the lists to look into, the first first; then the bells of their queues (`protocol/ring.lua`)
-- ARGV     delivery tag, which is random (of the second message, the tag and -1), TTL of a bell in seconds, how many
--          messages at most, what is in a message for others (lines), then for each list its queue as JSON
-- Returns  the list and the message of each; an empty list if there are only messages for others; else nothing.

local FIXED, LARGE_BYTES = 4, 1048576
local LOOKED_AT = 64 -- messages at the head of a list, of which the first that is not for others is taken
local lists, bells, taken, bytes = {}, {}, {}, 0
local marks, passed = {}, false
for line in string.gmatch(ARGV[4], '[^\n]+') do table.insert(marks, line) end
for i = 3, #KEYS do
  table.insert(#lists < #ARGV - FIXED and lists or bells, KEYS[i])
end

local function is_for_others(message)
  for _, mark in ipairs(marks) do
    if string.find(message, mark, 1, true) then return true end
  end
end

local function next_of(list)
  if #marks == 0 then return redis.call('lindex', list, -1) end
  for place = 1, LOOKED_AT do
    local message = redis.call('lindex', list, -place)
    if not message or not is_for_others(message) then return message end
    passed = true
  end
end

local function ring()
  for _, bell in ipairs(bells) do
    redis.call('zadd', bell, 0, '')
    redis.call('expire', bell, ARGV[2])
  end
end

local function take(list, queue, message)
  local tag = #taken == 0 and ARGV[1] or ARGV[1] .. '-' .. #taken / 2
  local now = redis.call('time')
  redis.call('hset', KEYS[1], tag, '[' .. message .. ',"",' .. queue .. ']')
  redis.call('zadd', KEYS[2], now[1] + now[2] / 1e6, tag)
  if #marks == 0 then redis.call('rpop', list) else redis.call('lrem', list, -1, message) end
  table.insert(taken, list)
  table.insert(taken, message)
  bytes = bytes + #message
end

local places = {}
-- One time in 16, about, the last lists come first (what has a low priority), and four times as often those before them
-- (what is beyond a batch's share): what waits there must not wait for ever.
local turn, of_each = tonumber(string.sub(ARGV[1], 1, 1), 16), #lists / 4
if turn == 1 then
  for i = 3 * of_each + 1, #lists do table.insert(places, i) end
elseif turn and turn % 4 == 0 then
  for i = 2 * of_each + 1, 3 * of_each do table.insert(places, i) end
end
for i = 1, #lists do table.insert(places, i) end

for _, i in ipairs(places) do
  local list = lists[i]
  local message = next_of(list)
  if message then
    local most, queue = tonumber(ARGV[3]), ARGV[i + FIXED]
    take(list, queue, message)
    if redis.call('exists', unpack(lists)) > 0 then
      local further = most > 1 and math.min(most - 1, math.floor(redis.call('llen', list) / 2)) or 0
      for _ = 1, further do
        local another = bytes < LARGE_BYTES and next_of(list)
        if another then take(list, queue, another) end
      end
      ring() -- another worker that waits can take the next one
    end
    return taken
  end
end
if passed then
  ring() -- one of those whom it is for
  return taken
end
