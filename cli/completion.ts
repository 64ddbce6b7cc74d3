/**
 * Stage: the operator. `althing completion bash | zsh | fish`: a script that completes commands and options, made from the commands
 * themselves.
 * Invariant: only fixed words of our own get into the script; nothing is run while completing.
 */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of the shell, not of ours
import { Argument, type Command } from 'commander'
import type { CommandContext } from './context.ts'

/** Words that may follow a path of commands, such as `keys new`; the path of the program itself is empty. */
type Level = { path: string; commands: Command[]; options: string[] }

const longOptions = (command: Command): string[] =>
  command.options.map((option) => option.long).filter((long): long is string => typeof long === 'string')

function levelsOf(program: Command): Level[] {
  const shared = [...longOptions(program), '--help']
  const levels: Level[] = []
  const visit = (command: Command, path: string): void => {
    const own = command === program ? [] : longOptions(command)
    levels.push({ path, commands: [...command.commands], options: [...own, ...shared] })
    for (const child of command.commands) visit(child, path === '' ? child.name() : `${path} ${child.name()}`)
  }
  visit(program, '')
  return levels
}

function bash(levels: readonly Level[]): string {
  const paths = levels.filter(({ path }) => path !== '')
  const words = levels.map(
    ({ path, commands, options }) =>
      `    '${path}') words='${[...commands.map((one) => one.name()), ...options].join(' ')}' ;;`,
  )
  return [
    '_althing() {',
    "  local path='' next word words i",
    '  for ((i = 1; i < COMP_CWORD; i++)); do',
    '    word="${COMP_WORDS[i]}"',
    '    next="${path:+$path }$word"',
    '    case "$next" in',
    `      ${paths.map(({ path }) => `'${path}'`).join('|')}) path="$next" ;;`,
    '    esac',
    '  done',
    '  case "$path" in',
    ...words,
    '  esac',
    '  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))',
    '  if [ ${#COMPREPLY[@]} -eq 0 ]; then COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")); fi',
    '}',
    'complete -F _althing althing',
  ].join('\n')
}

function fish(levels: readonly Level[]): string {
  const quoted = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`
  const lines: string[] = []
  for (const { path, commands, options } of levels) {
    const names = path.split(' ').filter((name) => name !== '')
    const inside = names.map((name) => `__fish_seen_subcommand_from ${name}`)
    const own = commands.map((one) => one.name()).join(' ')
    const here = names.length === 0 ? '__fish_use_subcommand' : inside.join('; and ')
    const condition = names.length > 0 && own !== '' ? `${here}; and not __fish_seen_subcommand_from ${own}` : here
    for (const command of commands)
      lines.push(
        `complete -c althing -n ${quoted(condition)} -f -a ${command.name()} -d ${quoted(command.description())}`,
      )
    for (const option of options) lines.push(`complete -c althing -n ${quoted(here)} -l ${option.slice(2)}`)
  }
  return lines.join('\n')
}

/** `althing completion`. */
export function registerCompletion(program: Command, context: CommandContext): void {
  program
    .command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      '\nbash: source <(althing completion bash)\nfish: althing completion fish > ~/.config/fish/completions/althing.fish',
    )
    .action((shell: string) => {
      const levels = levelsOf(program)
      const zsh = 'autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n'
      context.output.data(shell === 'fish' ? fish(levels) : `${shell === 'zsh' ? zsh : ''}${bash(levels)}`)
    })
}
