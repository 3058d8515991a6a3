-- Takes the next messages of some queues and records them as delivered, in one step: who takes them may die at any moment.
--
-- Several at once, up to half of those that wait, so that as many are left for other workers; and no further one once
-- they are large together, since all are in one answer.
-- Recorded before it is taken away: a server that is full refuses the record, and the message stays where it is.
--
-- KEYS[1]  manycore-unacked        hash: delivery tag -> [message, exchange, routing key], as kombu keeps it
-- KEYS[2]  manycore-unacked-index  zset: delivery tag -> when it was delivered, by the server's clock
-- KEYS     then the lists to look into, the first first; then the bells of their queues (`protocol/ring.lua`)
-- ARGV     delivery tag, which is random (of the second message, the tag and -1), TTL of a bell in seconds, how many
--          messages at most, then for each list its queue as JSON
-- Returns  the list and the message of each, or nothing.

local FIXED, LARGE_BYTES = 3, 1048576
local LAST_FIRST = 4 -- one in so many times, about, the last list comes first: what waits there must not wait for ever
local lists, bells, taken, bytes = {}, {}, {}, 0
for i = 3, #KEYS do
  table.insert(#lists < #ARGV - FIXED and lists or bells, KEYS[i])
end

local function take(list, queue, message)
  local tag = #taken == 0 and ARGV[1] or ARGV[1] .. '-' .. #taken / 2
  local now = redis.call('time')
  redis.call('hset', KEYS[1], tag, '[' .. message .. ',"",' .. queue .. ']')
  redis.call('zadd', KEYS[2], now[1] + now[2] / 1e6, tag)
  redis.call('rpop', list)
  table.insert(taken, list)
  table.insert(taken, message)
  bytes = bytes + #message
end

local places = {}
if string.byte(ARGV[1]) % LAST_FIRST == 0 then places[1] = #lists end
for i = 1, #lists do table.insert(places, i) end

for _, i in ipairs(places) do
  local list = lists[i]
  local message = redis.call('lindex', list, -1)
  if message then
    local most, queue = tonumber(ARGV[3]), ARGV[i + FIXED]
    take(list, queue, message)
    if redis.call('exists', unpack(lists)) > 0 then
      local further = most > 1 and math.min(most - 1, math.floor(redis.call('llen', list) / 2)) or 0
      for _ = 1, further do
        if bytes < LARGE_BYTES then take(list, queue, redis.call('lindex', list, -1)) end
      end
      for _, bell in ipairs(bells) do -- another worker that waits can take the next one
        redis.call('zadd', bell, 0, '')
        redis.call('expire', bell, ARGV[2])
      end
    end
    return taken
  end
end
