#!/usr/bin/env node
// Starts the command line. Old syntax and no static import on purpose: this file must run on any Node that knows ES modules, if only to
// say which one is needed. A checkout is run as it is, by type stripping, whatever an earlier build left in dist/; a package has dist/ only.
var major = Number(process.versions.node.split('.')[0])
if (!(major >= 24)) {
  process.stderr.write(
    'althing: needs Node.js 24 or later, this is ' +
      process.version +
      '. Get it from https://nodejs.org/en/download or with: npm install --global node@24\n',
  )
  process.exit(69)
} else {
  import('node:module')
    .then(function (module) {
      // Compiled code (and sources with their types stripped) is kept between runs: commands start in half the time, with 40 MB less.
      if (module.enableCompileCache) module.enableCompileCache()
      return import('node:fs')
    })
    .then(function (fs) {
      var built = new URL('../dist/cli/main.js', import.meta.url)
      var source = new URL('../cli/main.ts', import.meta.url)
      return import((fs.existsSync(source) ? source : built).href)
    })
    .then(function (cli) {
      return cli.runProcess()
    })
    .catch(function (error) {
      process.stderr.write('althing: a bug in althing itself\n' + ((error && error.stack) || error) + '\n')
      process.exit(70)
    })
}
