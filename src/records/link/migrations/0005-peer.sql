-- That a neighbour is there is looked up once for all items that are put in for it together, and not for each of them.
alter table link_out drop constraint link_out_peer_fkey;
