-- The version of Pushpoint that a site runs, which clients compare with their own before they let themselves be assigned to it.
alter table site add column version text;
