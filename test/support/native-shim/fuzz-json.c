/* Damaged answers of a site, by the million, through the JSON reader of the Windows client. */
#include "../../../native/base/json.c"
#include <stdio.h>

static unsigned long long state;

static unsigned below(unsigned n) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (unsigned)(state % n);
}

static void each_text(void *sum, const char *value) { *(size_t *)sum += strlen(value); }

static void each_object(void *sum, const char *object) {
  char name[16];
  LONGLONG size = 0;
  if (json_string(object, "name", name, sizeof name)) *(size_t *)sum += strlen(name);
  json_number(object, "size", &size);
}

static const char *const seeds[] = {
    "{\"guid\":\"GUID:x\",\"site\":\"P01\",\"approval\":\"approved\",\"heartbeatMinutes\":10080,\"managementPoints\":[\"http://a\",\"http://b\\u00e9\\n\"],"
    "\"upgrade\":{\"version\":\"1\",\"files\":[{\"name\":\"a\",\"sha256\":\"00\",\"size\":12}]},\"uninstall\":true,\"n\":null,\"x\":-1.5e3}",
    "{\"upgrade\":[[[[[[[1]]]]]],\"files\":{\"a\":{}}}",
};

static char *damaged(void) {
  const char *seed = seeds[below(2)];
  size_t length = strlen(seed);
  char *text = malloc(length + 1);
  memcpy(text, seed, length + 1);
  for (unsigned times = below(6); times > 0 && length > 0; times--) {
    static const char likely[] = "{}[]\",:\\u019\x01\xff";
    unsigned how = below(8);
    if (how == 0) text[length = below((unsigned)length)] = 0;
    else text[below((unsigned)length)] = how < 5 ? likely[below(sizeof likely - 1)] : (char)(1 + below(255));
  }
  // Exactly as long as it is, so that one octet too far is seen.
  char *exact = strdup(text);
  free(text);
  return exact;
}

int main(int count, char **arguments) {
  size_t sum = 0, whole = 0;
  int times = count > 2 ? atoi(arguments[1]) : 0;
  state = strtoull(count > 2 ? arguments[2] : "1", NULL, 10) | 1;
  for (int i = 0; i < times; i++) {
    char *text = damaged(), small[8], large[200];
    LONGLONG number;
    whole += (size_t)json_valid(text);
    if (json_string(text, "guid", small, sizeof small)) sum += strlen(small);
    if (json_string(text, "site", large, sizeof large)) sum += strlen(large);
    json_number(text, "heartbeatMinutes", &number);
    json_strings(text, "managementPoints", each_text, &sum);
    const char *object = json_object(text, "upgrade");
    if (object) json_objects(object, "files", each_object, &sum);
    json_true(text, "uninstall");
    free(text);
  }
  printf("%d texts, %zu whole, %zu octets read\n", times, whole, sum);
  return 0;
}
