"""FastChat's own web page (``fastchat.serve.gradio_web_server``), with what a fleet needs around it.

FastChat is not patched: its module is imported, and some of the names that it looks up are bound to ours, because

- it takes the prompt template from the model's *name*, where the API asks the worker: a model that is served under
  another name is then asked in words that it does not know;
- it sends no ``top_k``, which vLLM's worker wants;
- before each answer it asks ``localhost:9090`` about rate limits, where Cockpit listens on EL 8 and 9;
- it writes every conversation to a file, which the umask makes readable to others, and to its log;
- with "gpt-4", "bard" or "claude" in a model's name it sends what people write to OpenAI;
- gradio's page names Google's and Cloudflare's servers, and has routes for files that this page does not need.

``GET /fleet`` says which models the controller has now.
"""
