#ifndef PP_CHOICE_H
#define PP_CHOICE_H
#include "../wire/contact.h"
#include "times.h"

/* Classes are the management points a client knows, by what they are to it. */
typedef struct {
  /* At the secondary in whose boundaries the machine is, which belongs to the assigned site. */
  Points proxy;
  /* At another primary in whose boundaries the machine is: for content only, the client is unknown there. */
  Points local;
  /* Of the assigned site, the default one first. */
  Points assigned;
  /* Of the installation: never forgotten, asked last. */
  Points anchors;
  /* That a proven policy named. */
  Points proven;
} Classes;

/* choice_set tells which points there are; where nothing changed, the choice stays. */
void choice_set(const Classes *classes);
/* choice_messages is the order for what only the own site understands, choice_registration for a registration, which the assigned site takes
   itself, choice_content for files, which any site may give. */
void choice_messages(Points *to);
void choice_registration(Points *to);
void choice_content(Points *to);
/* choice_asks_trusted tells whether the next message goes first to a point that is known to be the site's, because others were named by nobody
   knows whom. */
BOOL choice_asks_trusted(void);
/* choice_heard takes note whether a point answered; choice_unknown that the one which answered last does not know this client: if it is known to
   be the site's, it is registered there. */
void choice_heard(const char *point, BOOL answered);
void choice_unknown(void);
#endif
