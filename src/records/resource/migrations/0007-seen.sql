-- Addresses that were seen from outside, and when: {"at": {"10.1.2.3": milliseconds}, "listed": ["10.1.2.3", …]}; `listed` are those that
-- somebody told who knows all of them.
update resource set seen = jsonb_build_object('at', seen) where seen is not null;
