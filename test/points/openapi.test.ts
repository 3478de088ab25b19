import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fallbackStatusRoutes } from '#points/fallback-status';
import { locatorRoutes } from '#points/locator';
import { createManagementPoint } from '#points/management';
import { TestSite } from '#test/points';

interface Operation {
  responses: Record<string, unknown>;
  requestBody?: { content: Record<string, { schema: { $ref?: string } }> };
}
interface Document {
  openapi: string;
  info: { version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { type?: string; properties?: Record<string, unknown> }> };
}

test('the document names every route of the points and no other, and every shape it points at', async (t) => {
  const site = await TestSite.make(t);
  const parts = { ...site.parts, build: '0100', version: '9.8.7' };
  const app = await createManagementPoint({
    ...parts,
    also(point) {
      locatorRoutes(point, parts, '/ccm_system');
      locatorRoutes(point, parts, '/sms_slp');
      fallbackStatusRoutes(point, parts);
    },
  });
  t.after(() => app.close());
  const { url: served } = await site.managementPoint({ version: '9.8.7' });
  const document = (await (await fetch(`${served}/ccm_system/openapi.json`)).json()) as Document;
  assert.equal(document.openapi, '3.1.0');
  assert.equal(document.info.version, '9.8.7');
  for (const [path, methods] of Object.entries(document.paths))
    for (const method of Object.keys(methods)) {
      const verb = method === 'x-sms_post' ? 'M-SEARCH' : method.toUpperCase();
      const url = path.replace(/\{(\w+)\}/g, ':$1');
      assert.ok(app.hasRoute({ method: verb, url }), `${verb} ${url} is described and not answered`);
    }
  // Every line of the tree that ends in methods is a route.
  const tree = app.printRoutes({ commonPrefix: false });
  const routes = [...tree.matchAll(/[─ ](\/\S*) \(([A-Z, -]+)\)/g)].map(([, url, methods]) => ({
    // Two routes that differ in the name of a parameter only stand in one line.
    url: url!.split('|')[0]!,
    methods: methods!.split(', '),
  }));
  const described = Object.keys(document.paths).map((path) => path.replace(/\{(\w+)\}/g, ':$1').toLowerCase());
  for (const { url } of routes)
    assert.ok(
      described.some((path) => path.endsWith(url.toLowerCase())),
      `${url} is answered and not described\n${tree}`,
    );
  assert.ok(routes.length >= 8, tree);
  const refs = JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g);
  for (const [, name] of refs) assert.ok(document.components.schemas[name!], name);
  assert.ok(document.components.schemas['Heartbeat']!.properties!['sequence']);
});
