import { proving } from '#client/certificate';
import { layout, type TargetHost } from '#client/host';
import { Identity } from '#client/identity';
import { ClientLog, usualLog } from '#client/log';
import { Reporter } from '#client/report';
import { checked, deploymentStates, StateMessage, type DeploymentState } from '#messages';
import { readConfig } from './config.ts';
import { provesSite } from './parts.ts';

/**
 * say sends a state message of a bootstrap that cannot sign, with the key of the client that is installed: `… say-state TOPICID STATE VERSION
 * EXITCODE DETAIL`, of which the last two may be empty. 0 is a management point that took it; with anything else the bootstrap says it unsigned.
 */
export async function say(host: TargetHost, args: readonly string[]): Promise<number> {
  const log = new ClientLog(host, layout.stateLog, 'FSPStateMessage', usualLog());
  try {
    const [topicId, state, clientVersion = '', exit = '', detail = ''] = args;
    const config = await readConfig(host);
    const { tcf } = config;
    // The agent may be making what it is just now.
    const identity = await Identity.peek(host);
    const { guid, site = tcf.site, registeredAt } = identity?.memory ?? {};
    if (!identity || guid === undefined || registeredAt === undefined) return 1;
    const { memory, privateKey } = identity;
    const points = [...new Set([...(memory.managementPoints ?? []), ...tcf.managementPoints])];
    const pins = tcf.certificatePins;
    const reporter = new Reporter(proving(host, config.properties, log), log, {
      site,
      clientVersion,
      guid,
      managementPoints: pins === undefined ? points : points.filter((point) => point.startsWith('https:')),
      fallbackStatusPoints: [],
      ...(pins !== undefined && { pins }),
      proves: (point) => provesSite({ config, identity }, point),
      signer: { client: guid, privateKey },
      topicId: checked(StateMessage.properties.topicId, topicId, 'topic id'),
    });
    const stateId = Number(state);
    if (!isState(stateId)) return 1;
    const told = { ...(exit !== '' && { exitCode: Number(exit) }), ...(detail !== '' && { detail }) };
    return (await reporter.send(stateId, told)) ? 0 : 1;
  } catch {
    return 1;
  } finally {
    await log.flush();
  }
}

const isState = (id: number): id is DeploymentState => id in deploymentStates;
