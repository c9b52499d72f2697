import { loadModel } from 'webtern'

const status = document.querySelector('#status')
const answer = document.querySelector('#answer')

try {
  const model = await loadModel('tiny')
  status.textContent = `threads: ${model.info.threads}`
  const run = model.generate({ messages: [{ role: 'user', content: 'What is 24 + 64?' }] })
  for await (const event of run) if (event.type === 'text') answer.append(event.text)
  status.dataset.done = 'true'
} catch (error) {
  status.textContent = String(error)
  status.dataset.done = 'false'
}
