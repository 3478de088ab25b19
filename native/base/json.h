#ifndef PP_JSON_H
#define PP_JSON_H
#include <winsock2.h>
#include <windows.h>

/* A reader of JSON objects for answers of the site and for our own small files: members of the top object only. It is strict and bounded;
   whatever is not whole JSON gives nothing. */

/* json_valid tells whether the whole text is one JSON object. */
BOOL json_valid(const char *json);
/* json_string copies the value of a member; false when it is not there, no string, or longer than fits. */
BOOL json_string(const char *json, const char *member, char *to, size_t size);
BOOL json_number(const char *json, const char *member, LONGLONG *to);
/* json_true tells whether a member is true. */
BOOL json_true(const char *json, const char *member);
/* json_strings calls `each` for every string of an array. */
BOOL json_strings(const char *json, const char *member, void (*each)(void *context, const char *value), void *context);
/* json_objects calls `each` for every object of an array. */
BOOL json_objects(const char *json, const char *member, void (*each)(void *context, const char *object), void *context);
/* json_object gives where the object that is a member's value begins; the other functions take that as their `json`. */
const char *json_object(const char *json, const char *member);
#endif
