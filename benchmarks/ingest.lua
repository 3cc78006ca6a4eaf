-- wrk posts messages that were signed beforehand: a line "id signature" each in the file INGEST_SIGNED.
-- Every request is another message; none is sent twice.
local head, signed, place = {}, {}, 0

function init()
  local key, stamp = os.getenv("INGEST_KEY"), os.getenv("INGEST_STAMP")
  wrk.method = "POST"
  wrk.path = "/api/webhooks/partners/" .. key
  head["content-type"] = "application/json"
  head["webhook-timestamp"] = stamp
  for line in io.lines(os.getenv("INGEST_SIGNED")) do
    signed[#signed + 1] = line
  end
end

function request()
  place = place + 1
  local id, signature = signed[place]:match("^(%S+) (%S+)$")
  head["webhook-id"] = id
  head["webhook-signature"] = signature
  return wrk.format(nil, nil, head, os.getenv("INGEST_BODY"):format(id))
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format("INGEST %d %d %d\n", summary.requests, summary.duration,
                         e.connect + e.read + e.write + e.status + e.timeout))
end
