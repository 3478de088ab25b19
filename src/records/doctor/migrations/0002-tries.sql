-- How often a process took an examination: one that takes its process with it each time must not do so for ever.
alter table doctor_request add column tries integer not null default 0;
