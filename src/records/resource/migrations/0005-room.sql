-- When a source says the same again, only the time changes. With room on its page such a row is written beside the old one, and no index is touched.
alter table resource_source set (fillfactor = 45);
