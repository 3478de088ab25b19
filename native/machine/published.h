#ifndef PP_PUBLISHED_H
#define PP_PUBLISHED_H
#include "../wire/contact.h"

/* published_points adds the management points of a site that DNS names in the domain DNSSUFFIX. */
void published_points(const char *properties, const char *site, Points *to);
#endif
