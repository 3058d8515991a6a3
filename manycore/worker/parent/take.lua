-- Takes the next message of some queues and records it as delivered, in one step: who takes it may die at any moment.
--
-- Recorded before it is taken away: a server that is full refuses the record, and the message stays where it is.
--
-- KEYS[1]  manycore-unacked        hash: delivery tag -> [message, exchange, routing key], as kombu keeps it
-- KEYS[2]  manycore-unacked-index  zset: delivery tag -> when it was delivered, by the server's clock
-- KEYS     then the lists to look into, the first first; then the bells of their queues (`protocol/ring.lua`)
-- ARGV     delivery tag, TTL of a bell in seconds, then for each list its queue as JSON
-- Returns  the list and the message, or nothing.

local lists, bells = {}, {}
for i = 3, #KEYS do
  table.insert(#lists < #ARGV - 2 and lists or bells, KEYS[i])
end
for i, list in ipairs(lists) do
  local message = redis.call('lindex', list, -1)
  if message then
    local now = redis.call('time')
    redis.call('hset', KEYS[1], ARGV[1], '[' .. message .. ',"",' .. ARGV[i + 2] .. ']')
    redis.call('zadd', KEYS[2], now[1] + now[2] / 1e6, ARGV[1])
    redis.call('rpop', list)
    if redis.call('exists', unpack(lists)) > 0 then -- another worker that waits can take the next one
      for _, bell in ipairs(bells) do
        redis.call('zadd', bell, 0, '')
        redis.call('expire', bell, ARGV[2])
      end
    end
    return {list, message}
  end
end
