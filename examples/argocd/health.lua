-- Argo CD's health check for VpcConnector. docs/guides/gitops.md explains its installation; the tests run it on objects in every
-- state.
--
-- Healthy      the connector is ACTIVE and owned by the object
-- Progressing  the operator works on the object, or has not reconciled it yet; no user's action is needed
-- Degraded     the object needs a user's action; docs/operations/runbook.md has an entry for the reason, the first word of the message
-- Suspended    the object is paused

local health = { status = "Progressing", message = "waiting for the operator" }

local status = obj.status
if status == nil or status.conditions == nil then
  return health
end

local is = {}
for _, condition in ipairs(status.conditions) do
  is[condition.type] = condition
end

local function say(word, condition)
  health.status = word
  health.message = condition.reason .. ": " .. condition.message
  return health
end

local function holds(condition)
  return condition ~= nil and condition.status == "True"
end

-- The operator does not reconcile a paused object, so this check precedes the one of the generation.
if holds(is.Paused) then
  return say("Suspended", is.Paused)
end
if status.observedGeneration ~= obj.metadata.generation then
  health.message = "waiting for the operator to reconcile the latest change"
  return health
end
if holds(is.Stalled) then
  return say("Degraded", is.Stalled)
end
if is.Ready == nil then
  return health
end
if holds(is.Ready) then
  return say("Healthy", is.Ready)
end
return say("Progressing", is.Ready)
