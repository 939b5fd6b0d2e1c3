// OpenAI's client for JavaScript. Calls come as lines of JSON on standard input, as asking.py has them.
import { createInterface } from "node:readline";
import OpenAI from "openai";

const now = () => Date.now() / 1000;

function client(options, tries) {
  const { api_key: apiKey, max_retries: maxRetries = 0, timeout = 300 } = options;
  const noted = async (url, init) => {
    const one = [now(), null];
    tries.push(one);
    const response = await fetch(url, init);
    one[1] = response.status;
    return response;
  };
  return new OpenAI({ ...(apiKey ? { apiKey } : {}), maxRetries, timeout: timeout * 1000, fetch: noted });
}

const counts = (usage) =>
  usage ? { prompt: usage.prompt_tokens, completion: usage.completion_tokens, total: usage.total_tokens } : null;

async function gathered(stream, textOf, most) {
  const pieces = [], finish = [];
  let usage = null;
  for await (const chunk of stream) {
    for (const choice of chunk.choices) {
      if (choice.finish_reason) finish.push(choice.finish_reason);
      if (textOf(choice)) pieces.push(textOf(choice));
    }
    usage = counts(chunk.usage) ?? usage;
    if (most && pieces.length >= most) {
      stream.controller.abort();
      break;
    }
  }
  return { texts: [pieces.join("")], pieces: pieces.length, finish, usage };
}

const calls = {
  async models(api) {
    const ids = [];
    for await (const model of api.models.list()) ids.push(model.id);
    return { ids, one: (await api.models.retrieve(ids[0])).id };
  },
  async retrieve(api, { model }) {
    return { one: (await api.models.retrieve(model)).id };
  },
  async chat(api, body) {
    const said = await api.chat.completions.create(body);
    const texts = said.choices.map((one) => one.message.content);
    return { texts, finish: said.choices.map((one) => one.finish_reason), usage: counts(said.usage) };
  },
  async completion(api, body) {
    const said = await api.completions.create(body);
    const texts = said.choices.map((one) => one.text);
    return { texts, finish: said.choices.map((one) => one.finish_reason), usage: counts(said.usage) };
  },
  async stream(api, { most, ...body }) {
    return gathered(await api.chat.completions.create({ ...body, stream: true }), (one) => one.delta.content, most);
  },
  async completion_stream(api, body) {
    return gathered(await api.completions.create({ ...body, stream: true }), (one) => one.text);
  },
  async embeddings(api, body) {
    const said = await api.embeddings.create(body);
    const vectors = said.data.map((one) => one.embedding);
    return {
      vectors: vectors.map((one) => one.slice(0, 4)),
      lengths: vectors.map((one) => one.length),
      order: said.data.map((one) => one.index),
      tokens: said.usage.prompt_tokens,
    };
  },
};

function told(error) {
  const kinds = [];
  for (let kind = error.constructor; kind?.name; kind = Object.getPrototypeOf(kind)) kinds.push(kind.name);
  const { status: status_code = null, type = null, param = null, code = null, message } = error;
  const retry_after = error.headers?.get?.("retry-after") ?? null;
  return { error: kinds[0], kinds, status_code, type, param, code, message, retry_after };
}

async function done({ call, options, arguments: given }) {
  const tries = [];
  let result;
  try {
    result = await calls[call](client(options, tries), given);
  } catch (error) {
    result = told(error);
  }
  return { left: now(), ...result, tries };
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const { count = 1, threads = 1 } = asked;
  const results = [];
  let begun = 0;
  const one = async () => {
    while (begun++ < count) results.push(await done(asked));
  };
  await Promise.all(Array.from({ length: threads }, one));
  console.log(JSON.stringify(results));
}
