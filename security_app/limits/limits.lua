-- The counters of LocalLimiter (local.py, local_counters.py) on Valkey, step by step the same.
--
-- One request as MessagePack in ARGV[1], its answer likewise. Keys, all in one hash slot:
--   tickets  hash: ticket -> its takes {{counter, place, amount}, ...} while it is open
--   expiry   sorted set: ticket -> when it expires
--   generation  random text, new whenever the store has lost everything
--   c:<counter>  sliding: t total, o oldest sub-window kept, n newest, and each sub-window by its number;
--                others: u used, r reserved
--   x:<ticket>  its reservation expired; done:<ticket>  it was lost, and settled: so that each is settled once

local PREFIX = '{gateway}:limits:'
local TICKETS, EXPIRY, GENERATION = PREFIX .. 'tickets', PREFIX .. 'expiry', PREFIX .. 'generation'
local COUNTER, EXPIRED, LOCK = PREFIX .. 'c:', PREFIX .. 'x:', PREFIX .. 'lock:'
local DONE = PREFIX .. 'done:'
local SLIDING, CALENDAR = 0, 1
local SWEEP = 1000
local HINT = 1000
local HOUR = 3600000
local IDLE = 40 * 24 * HOUR

local call = redis.call
local request = cmsgpack.unpack(ARGV[1])
local operation, now = request[1], request[2]
if now == 0 then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- What one take of a ticket reserved becomes what it used.
local function settle(counter, place, reserved, actual)
  local key = COUNTER .. counter
  if place >= 0 then
    local oldest = call('HGET', key, 'o')
    if oldest and place >= tonumber(oldest) and actual ~= reserved then
      call('HINCRBY', key, place, actual - reserved)
      call('HINCRBY', key, 't', actual - reserved)
    end
  elseif call('EXISTS', key) == 1 then
    if reserved ~= 0 and call('HINCRBY', key, 'r', -reserved) < 0 then
      call('HSET', key, 'r', 0)
    end
    if actual ~= 0 then call('HINCRBY', key, 'u', actual) end
  end
end

-- Undoes the settlement of a reservation as nothing.
local function reinstate(counter, place, reserved)
  if place >= 0 then
    settle(counter, place, 0, reserved)
  elseif call('EXISTS', COUNTER .. counter) == 1 then
    call('HINCRBY', COUNTER .. counter, 'r', reserved)
  end
end

local function sweep()
  for _, ticket in ipairs(call('ZRANGE', EXPIRY, '-inf', now, 'BYSCORE', 'LIMIT', 0, SWEEP)) do
    local packed = call('HGET', TICKETS, ticket)
    if packed then
      for _, take in ipairs(cmsgpack.unpack(packed)) do settle(take[1], take[2], take[3], 0) end
      call('HDEL', TICKETS, ticket)
    end
    call('ZREM', EXPIRY, ticket)
    call('SET', EXPIRED .. ticket, 1, 'PX', HOUR)
  end
end

-- A counter is {name, kind, limit, a, b, needs_seed}: a and b are length and sub-window, or start and end.
-- Its state: key, total, used, oldest, newest. Nil where it must be seeded first.
local function load(counter)
  local kind, length, width = counter[2], counter[4], counter[5]
  local key = COUNTER .. counter[1]
  if kind ~= SLIDING then
    local found = call('HMGET', key, 'u', 'r')
    if not found[1] and counter[6] then return nil end
    local used = tonumber(found[1] or 0)
    return {key = key, total = used + tonumber(found[2] or 0), used = used}
  end
  local found = call('HMGET', key, 't', 'o', 'n')
  if not found[1] and counter[6] then return nil end
  local state = {
    key = key,
    total = tonumber(found[1] or 0),
    oldest = tonumber(found[2] or 0),
    newest = tonumber(found[3] or -1),
  }
  local first = math.floor((now - length + 1) / width)
  if first > state.oldest then
    local gone = {}
    for number = state.oldest, math.min(first - 1, state.newest) do gone[#gone + 1] = number end
    if #gone > 0 then
      for _, amount in ipairs(call('HMGET', key, unpack(gone))) do
        state.total = state.total - tonumber(amount or 0)
      end
      call('HDEL', key, unpack(gone))
      call('HSET', key, 't', state.total, 'o', first)
    end
    state.oldest = first
  end
  return state
end

local function keep(counter, key)
  local life = IDLE
  if counter[2] == SLIDING then
    life = counter[4] + 2 * counter[5] + HOUR
  elseif counter[2] == CALENDAR then
    life = counter[5] - now + HOUR
  end
  call('PEXPIRE', key, life)
end

-- Counts an amount; returns where, for settle.
local function take(counter, state, amount)
  local key, place = state.key, -1
  state.total = state.total + amount
  if counter[2] == SLIDING then
    place = math.max(math.floor(now / counter[5]), state.newest, state.oldest)
    state.newest = place
    call('HINCRBY', key, place, amount)
    call('HSET', key, 't', state.total, 'o', state.oldest, 'n', place)
  else
    call('HINCRBY', key, 'r', amount)
    call('HSETNX', key, 'u', 0)
  end
  keep(counter, key)
  return place
end

-- In how many ms an amount that is too much now fits; -1 for never.
local function retry_after(counter, state, amount)
  local limit = counter[3]
  if counter[2] == SLIDING then
    if amount > limit or state.newest < state.oldest then return -1 end
    local numbers = {}
    for number = state.oldest, state.newest do numbers[#numbers + 1] = number end
    local excess = state.total + amount - limit
    for index, counted in ipairs(call('HMGET', state.key, unpack(numbers))) do
      excess = excess - tonumber(counted or 0)
      if excess <= 0 then return (numbers[index] + 1) * counter[5] + counter[4] - 1 - now end
    end
    return -1
  end
  local wait = -1
  if counter[2] == CALENDAR then wait = counter[5] - now end
  if amount > limit then return -1 end
  if state.used + amount > limit then return wait end
  if wait < 0 then return HINT end
  return math.min(HINT, wait)
end

local function reset(counter, state)
  if counter[2] == SLIDING then
    if state.newest < state.oldest then return 0 end
    return (state.newest + 1) * counter[5] + counter[4] - 1 - now
  end
  return counter[2] == CALENDAR and counter[5] - now or 0
end

-- The states of all counters, or nil and the answer that says what is missing.
local function load_all(counters)
  for _, counter in ipairs(counters) do
    if counter[2] == CALENDAR and (now < counter[4] or now >= counter[5]) then return nil, {'stale', now} end
  end
  sweep()
  local states, unseeded = {}, {}
  for index, counter in ipairs(counters) do
    local state = load(counter)
    if not state then unseeded[#unseeded + 1] = index - 1 end
    states[index] = state
  end
  if #unseeded > 0 then return nil, {'unseeded', now, unseeded} end
  return states
end

-- What an open ticket holds counts no more: its takes, or nothing if it is not open.
local function set_aside(ticket)
  local packed = ticket ~= '' and call('HGET', TICKETS, ticket)
  local takes = packed and cmsgpack.unpack(packed) or {}
  for _, taken in ipairs(takes) do settle(taken[1], taken[2], taken[3], 0) end
  return takes
end

local function reserve(proposal, ticket, life, replaced, counters, amounts)
  if call('HEXISTS', TICKETS, ticket) == 1 then return {'open'} end
  local states, missing = load_all(counters)
  if not states then return missing end
  local aside = set_aside(replaced)
  if #aside > 0 then states = load_all(counters) end
  local worst, index = -2, 0
  for number, counter in ipairs(counters) do
    if states[number].total + amounts[number] > counter[3] then
      local wait = retry_after(counter, states[number], amounts[number])
      if (wait == -1 and worst ~= -1) or (worst ~= -1 and wait > worst) then worst, index = wait, number - 1 end
    end
  end
  local takes, places, remaining, resets = {}, {}, {}, {}
  for number, counter in ipairs(counters) do
    if worst == -2 then
      places[number] = take(counter, states[number], amounts[number])
      takes[number] = {counter[1], places[number], amounts[number]}
    end
    remaining[number] = math.max(counter[3] - states[number].total, 0)
    resets[number] = reset(counter, states[number])
  end
  if worst ~= -2 then
    for _, taken in ipairs(aside) do reinstate(taken[1], taken[2], taken[3]) end
    return {'refused', now, remaining, resets, index, worst}
  end
  if #aside > 0 then
    call('HDEL', TICKETS, replaced)
    call('ZREM', EXPIRY, replaced)
  end
  call('HSET', TICKETS, ticket, cmsgpack.pack(takes))
  call('ZADD', EXPIRY, now + life, ticket)
  local generation = call('GET', GENERATION)
  if not generation then
    generation = proposal
    call('SET', GENERATION, generation)
  end
  return {'granted', now, remaining, resets, places, generation}
end

local function used(counters)
  local states, missing = load_all(counters)
  if not states then return missing end
  local totals = {}
  for index, state in ipairs(states) do totals[index] = state.total end
  return {'used', now, totals}
end

-- A settlement is {ticket, generation, amounts, {{counter, place}, ...}}.
local function settle_all(settlements)
  local generation = call('GET', GENERATION)
  for _, settlement in ipairs(settlements) do
    local ticket, amounts = settlement[1], settlement[3]
    local packed = call('HGET', TICKETS, ticket)
    if packed then
      for index, taken in ipairs(cmsgpack.unpack(packed)) do
        settle(taken[1], taken[2], taken[3], amounts[index])
      end
      call('HDEL', TICKETS, ticket)
      call('ZREM', EXPIRY, ticket)
    elseif
      call('DEL', EXPIRED .. ticket) == 1
      -- Reserved in a store that has lost it: added to the counters that were seeded meanwhile.
      or (settlement[2] ~= generation and call('SET', DONE .. ticket, 1, 'NX', 'PX', HOUR))
    then
      for index, place in ipairs(settlement[4]) do settle(place[1], place[2], 0, amounts[index]) end
    end
  end
  return {'settled'}
end

local function renew(life, tickets)
  sweep()
  for _, ticket in ipairs(tickets) do call('ZADD', EXPIRY, 'XX', now + life, ticket) end
  return {'renewed'}
end

-- One caller gets the right to seed a counter, for a while; none for one that was seeded just now.
local function lock(life, counters)
  local is_ours = {}
  for index, counter in ipairs(counters) do
    local is_unknown = call('EXISTS', COUNTER .. counter[1]) == 0
    is_ours[index] = is_unknown and call('SET', LOCK .. counter[1], 1, 'NX', 'PX', life) and 1 or 0
  end
  return {'locked', is_ours}
end

local function seed(counters, amounts, is_correction)
  for index, counter in ipairs(counters) do
    local key, amount = COUNTER .. counter[1], amounts[index]
    if is_correction or call('EXISTS', key) == 0 then
      if counter[2] == SLIDING then
        local found = call('HMGET', key, 'o', 'n')
        local newest = math.max(tonumber(found[1] or 0), tonumber(found[2] or -1))
        local place = math.max(math.floor(now / counter[5]), newest) + 1
        call('DEL', key)
        call('HSET', key, place, amount, 't', amount, 'o', place, 'n', place)
      else
        call('HSET', key, 'u', amount)
      end
      keep(counter, key)
    end
    call('DEL', LOCK .. counter[1])
  end
  return {'seeded'}
end

local function unlock(counters)
  for _, counter in ipairs(counters) do call('DEL', LOCK .. counter[1]) end
  return {'unlocked'}
end

local operations = {
  reserve = reserve, used = used, settle = settle_all, renew = renew, lock = lock, unlock = unlock, seed = seed,
}
return cmsgpack.pack(operations[operation](unpack(request, 3)))
