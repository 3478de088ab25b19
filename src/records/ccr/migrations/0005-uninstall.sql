-- A CCR may ask that the client is removed instead of installed. Only what a person pushes says so; whoever asks later for the same machine
-- by a push decides anew, and files, SMS_POST and discovery change nothing of it.
alter table ccr add column uninstall boolean not null default false;
