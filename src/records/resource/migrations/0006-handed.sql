-- When other sites were last told of what a source says of a machine. What does not change is told them once a day.
alter table resource_source add column handed_at timestamptz;
