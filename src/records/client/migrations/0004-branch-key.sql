-- What two sites of a branch share is made of their site keys where the vault can be opened (records/link), and stands nowhere.
drop table client_branch_key;
