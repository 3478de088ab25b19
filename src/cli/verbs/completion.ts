import { Argument, type Command } from 'commander';
import { EXIT, print } from '../output.ts';
import type { Verbs } from '../verb.ts';

interface Place {
  path: string[];
  command: Command;
}

function visible(command: Command): Command[] {
  return command.commands.filter((c) => c.name() !== 'help');
}

function places(command: Command, path: string[] = []): Place[] {
  return [{ path, command }, ...visible(command).flatMap((c) => places(c, [...path, c.name()]))];
}

/** Verbs and arguments that are known beforehand; where there are none, the shell offers files. */
function namesOf(command: Command): string {
  const choices = command.registeredArguments.flatMap((argument) => argument.argChoices ?? []);
  return [...visible(command).map((c) => c.name()), ...choices].join(' ');
}

function optionsOf(command: Command): string {
  return [...command.options.flatMap((o) => (o.long && !o.hidden ? [o.long] : [])), '--help'].join(' ');
}

/** Of options that take a value: the words that can stand there, where there are few; else the shell offers files. */
function valuesOf(all: Place[]): { flags: string[]; choices: Map<string, string[]> } {
  const flags = new Set<string>();
  const choices = new Map<string, string[]>();
  for (const option of all.flatMap(({ command }) => command.options)) {
    if (!option.required) continue;
    for (const flag of [option.short, option.long]) {
      if (!flag) continue;
      flags.add(flag);
      if (option.argChoices) choices.set(flag, option.argChoices);
    }
  }
  return { flags: [...flags], choices };
}

function bash(program: Command): string {
  const all = places(program);
  const { flags, choices } = valuesOf(all);
  return [
    '_pushpoint() {',
    '  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} path="" words="" options="" word skip=""',
    '  COMPREPLY=()',
    '  # --option=value comes as three words',
    '  if [ "$current" = "=" ]; then current=""; elif [ "$before" = "=" ]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi',
    '  case "$before" in',
    ...[...choices].map(([flag, list]) => `    ${flag}) COMPREPLY=($(compgen -W "${list.join(' ')}" -- "$current")); return ;;`),
    `    ${flags.join('|')}) return ;;`,
    '  esac',
    '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
    '    if [ "$word" = "=" ]; then skip=1; continue; fi',
    '    if [ -n "$skip" ]; then skip=""; continue; fi',
    '    case "$word" in',
    `      ${flags.join('|')}) skip=1 ;;`,
    '      -*) ;;',
    '      *) path="${path:+$path }$word" ;;',
    '    esac',
    '  done',
    '  # What stands behind the verb are its arguments.',
    '  while :; do',
    '    case "$path" in',
    ...all.map(
      ({ path, command }) => `      "${path.join(' ')}") words="${namesOf(command)}" options="${optionsOf(command)}" ;;`,
    ),
    '    esac',
    '    if [ -n "$options" ] || [ -z "$path" ]; then break; fi',
    '    case "$path" in *" "*) path=${path% *} ;; *) path="" ;; esac',
    '  done',
    '  case "$current" in -*) words=$options ;; esac',
    '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
    '}',
    '# Where no word fits, the shell offers files.',
    'complete -o bashdefault -o default -F _pushpoint pushpoint',
  ].join('\n');
}

/** completionVerb: completion bash|zsh prints a script for the shell. */
export function completionVerb(verbs: Verbs, program: () => Command): void {
  verbs
    .add(undefined, {
      name: 'completion',
      does: 'print the completion script for bash or zsh',
      examples: ['source <(pushpoint completion bash)', 'pushpoint completion zsh >> ~/.zshrc'],
      takes: 'nothing',
      async run(_context, _options, shell) {
        if (shell === 'zsh') print('autoload -U +X compinit bashcompinit && compinit && bashcompinit');
        print(bash(program()));
        return EXIT.ok;
      },
    })
    .addArgument(new Argument('<shell>', 'bash or zsh').choices(['bash', 'zsh']));
}
