// Stands for a node that is going to be killed: runs the embedded executor on a state directory and
// submits what it reads from a file. `node embedded-owner.ts CONFIG.json SUBMISSION.json`

import { readFileSync } from 'node:fs'
import { EmbeddedDriver } from '../../node/scheduler/embedded.ts'

const [, , config = '', submission = ''] = process.argv
const driver = new EmbeddedDriver(JSON.parse(readFileSync(config, 'utf8')))
await driver.start()
const never = new AbortController().signal
await driver.submit(JSON.parse(readFileSync(submission, 'utf8')), never)
setInterval(() => {}, 1_000)
