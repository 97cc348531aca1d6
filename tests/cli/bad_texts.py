# SPDX-License-Identifier: Apache-2.0
"""Broken configs, tokenizers and chat templates, and options that ask for what cannot be."""

from bad_input import CHAT, QUANTIZE, RUN, Case, config, file, nothing, put, template, tokenizer, \
    without

NF4 = "run nf4 -p a --quiet"

CONFIGS = [
    ("none", without("model/config.json"), "model: the model folder has no config.json"),
    ("no JSON", file("model/config.json", '{\n  "model_type": llama\n}'),
     "model/config.json: file is not valid JSON: got line 2, column 17: syntax error while "
     "parsing value - invalid literal; last read: '\"model_type\": l' (at byte 18)"),
    ("a list", file("model/config.json", []),
     "model/config.json: not a model config: expected a JSON object, got array"),
    ("nested 1000 deep", file("model/config.json", "[" * 1000),
     "model/config.json: JSON is nested too deeply: expected at most 64 levels"),
    ("no model type", config(model_type=...), "model/config.json: 'model_type' is missing"),
    ("an unknown model type", config(model_type="alien"),
     "model/config.json: model_type is not supported: expected one of llama, mistral, qwen2, "
     "qwen3, got alien"),
    ("no language model", config(architectures=["LlamaForSequenceClassification"]),
     "model/config.json: architecture is not supported: expected a causal language model "
     "(...ForCausalLM), got LlamaForSequenceClassification"),
    ("a missing size", config(hidden_size=...), "model/config.json: 'hidden_size' is missing"),
    ("a size that is a text", config(hidden_size="16"),
     "model/config.json: bad value of 'hidden_size': expected an integer from 1 to 1048576, "
     "got \"16\""),
    ("a size that is a fraction", config(hidden_size=16.5),
     "model/config.json: bad value of 'hidden_size': expected an integer from 1 to 1048576, "
     "got 16.5"),
    ("a negative number of layers", config(num_hidden_layers=-1),
     "model/config.json: bad value of 'num_hidden_layers': expected an integer from 1 to 4096, "
     "got -1"),
    ("2^62 layers", config(num_hidden_layers=2**62),
     "model/config.json: bad value of 'num_hidden_layers': expected an integer from 1 to 4096, "
     "got 4611686018427387904"),
    ("2^64 tokens", config(vocab_size=2**64),
     "model/config.json: bad value of 'vocab_size': expected an integer from 1 to 2147483647, "
     "got 1.8446744073709552e+19"),
    ("heads that do not share keys evenly", config(num_key_value_heads=3),
     "model/config.json: num_key_value_heads does not divide num_attention_heads: expected a "
     "divisor of 4, got 3"),
    ("another activation", config(hidden_act="gelu"),
     "model/config.json: bad value of 'hidden_act': expected \"silu\", got \"gelu\""),
    ("a tie that is a number", config(tie_word_embeddings=1),
     "model/config.json: bad value of 'tie_word_embeddings': expected true or false, got 1"),
    ("an end token that is a text", config(eos_token_id="</s>"),
     "model/config.json: bad value of 'eos_token_id': expected a token id or a list of them, "
     "got \"</s>\""),
    ("another dtype", config(dtype="int8"),
     "model/config.json: bad value of 'dtype': expected the name of a float dtype, got \"int8\""),
    ("an epsilon that is a text", config(rms_norm_eps="1e-5"),
     "model/config.json: bad value of 'rms_norm_eps': expected a number, got \"1e-5\""),
    ("a negative epsilon", config(rms_norm_eps=-1e-6),
     "model/config.json: bad value of 'rms_norm_eps': expected a number from 0 to 1, got -1e-06"),
    ("an epsilon beyond a float", config(rms_norm_eps=1e300),
     "model/config.json: bad value of 'rms_norm_eps': expected a number from 0 to 1, got 1e+300"),
    ("an unknown rope type", config(rope_scaling={"rope_type": "warp", "factor": 2.0}),
     "model/config.json: rope_type is not supported: expected default, linear, dynamic, llama3 "
     "or yarn, got warp"),
    ("a rope without factor", config(rope_scaling={"rope_type": "linear"}),
     "model/config.json: 'rope_scaling.factor' is missing"),
    ("more layers than the weights", config(num_hidden_layers=3),
     "model/model.safetensors: tensor 'model.layers.1.input_layernorm.weight': no such tensor; "
     "the closest name is 'model.layers.0.input_layernorm.weight'"),
    ("wider than the weights", config(hidden_size=32, head_dim=8),
     "model/model.safetensors: tensor 'model.embed_tokens.weight': the tensor does not fit the "
     "model: expected a float dtype, shape [96, 32], got float32 [96, 16]; config.json does "
     "not belong to this checkpoint"),
]

QUANTIZATION = [
    ("a text", {"quantization_config": "nf4"},
     "nf4/config.json: bad value of 'quantization_config': expected an object, got \"nf4\""),
    ("no method", {"quantization_config": {}},
     "nf4/config.json: quantization_config has no 'quant_method'"),
    ("an unknown method", {"quantization_config": {"quant_method": "alien"}},
     "nf4/config.json: quantization method is not known: expected one of awq, bitsandbytes, "
     'compressed-tensors, eetq, fbgemm_fp8, fp8, gptq, group-int8, hqq, got "alien"'),
    ("a format of GPTQ that is not read", {"quantization_config": {
        "quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq_p"}},
     "nf4/config.json: this format of GPTQ files is not read here: expected gptq, gptq_v2 or "
     "marlin, got gptq_p; its codes are planes of bits, of which GPTQModel alone is a reader"),
    ("bits that AWQ does not have", {"quantization_config": {"quant_method": "awq", "bits": 8}},
     "nf4/config.json: AWQ files have codes of 4 bits: expected 4, got 8"),
    ("bits that GPTQ does not have", {"quantization_config": {"quant_method": "gptq", "bits": 5}},
     "nf4/config.json: quantization_config has a bad 'bits': expected 2, 3, 4 or 8, got 5"),
    ("a flag that is a text", {"quantization_config": {"quant_method": "bitsandbytes",
                                                       "load_in_4bit": "yes"}},
     "nf4/config.json: quantization_config has a bad 'load_in_4bit': expected a boolean, got "
     "\"yes\""),
    ("both widths", {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True,
                                             "load_in_8bit": True}},
     "nf4/config.json: load_in_4bit and load_in_8bit are both True; set one of them"),
    ("an unknown 4-bit type", {"quantization_config": {
        "quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf5"}},
        'nf4/config.json: bnb_4bit_quant_type is unknown: expected "nf4" or "fp4", got "nf5"'),
    ("skipped modules that are numbers", {"quantization_config": {
        "quant_method": "bitsandbytes", "load_in_4bit": True, "llm_int8_skip_modules": [1]}},
        "nf4/config.json: quantization_config has a bad 'llm_int8_skip_modules': expected a "
        "list of strings or null, got [1]"),
]

GENERATION = [
    ("a list", [], "model/generation_config.json: the file is no JSON object"),
    ("a negative temperature", {"temperature": -1},
     "model/generation_config.json: bad value of 'temperature': expected 0 (greedy) or a "
     "positive number, got -1"),
    ("top_k that is a text", {"top_k": "all"},
     "model/generation_config.json: bad value of 'top_k': expected an integer, got \"all\""),
    ("top_p above 1", {"top_p": 1.5},
     "model/generation_config.json: bad value of 'top_p': expected a number in [0, 1], got 1.5"),
    ("an end token of 2^40", {"eos_token_id": 2**40},
     "model/generation_config.json: bad value of 'eos_token_id': expected an integer in range, "
     "got 1099511627776"),
    ("a stop string that is a number", {"stop_strings": [1]},
     "model/generation_config.json: bad value of 'stop_strings': expected a string or a list "
     "of strings, got [1]"),
    ("a stop string without text", {"stop_strings": [""]},
     "model/generation_config.json: a stop string is empty: expected some text"),
]

VOCAB = ("model", "vocab")
TOKENIZERS = [
    ("no JSON", file("model/tokenizer.json", "{"),
     "model/tokenizer.json: tokenizer.json is no valid JSON: The JSON document has an improper "
     "structure: missing or superfluous commas, braces, missing keys, etc."),
    ("a list", file("model/tokenizer.json", []),
     "model/tokenizer.json: tokenizer.json is no JSON object"),
    ("no UTF-8", file("model/tokenizer.json", b'{"model": "\xff"}'),
     "model/tokenizer.json: tokenizer.json is no valid JSON: The input is not valid UTF-8"),
    ("nested 5000 deep", file("model/tokenizer.json", '{"model":' * 5000),
     "model/tokenizer.json: tokenizer.json is no valid JSON: The JSON document has an improper "
     "structure: missing or superfluous commas, braces, missing keys, etc."),
    ("no model", tokenizer(lambda t: t.pop("model")),
     'model/tokenizer.json: tokenizer.json lacks its "model"'),
    ("an unknown model", tokenizer(put("model", "type", "Alien")),
     "model/tokenizer.json: the model 'Alien' is not supported: expected BPE, "
     "Unigram, WordPiece or WordLevel"),
    ("a vocabulary that is a text", tokenizer(put(*VOCAB, "abc")),
     'model/tokenizer.json: the BPE model lacks its "vocab"'),
    ("a negative id", tokenizer(put(*VOCAB, "a", -1)),
     "model/tokenizer.json: the BPE model gives the token 'a' an id that is none: expected 0 "
     "to 16777215"),
    ("an id of 2^40", tokenizer(put(*VOCAB, "a", 2**40)),
     "model/tokenizer.json: the BPE model gives the token 'a' an id that is none: expected 0 "
     "to 16777215"),
    ("a merge of unknown tokens", tokenizer(put("model", "merges", ["x yz"])),
     "model/tokenizer.json: the BPE model has a merge (number 0) of tokens that the vocabulary "
     "lacks: got x yz"),
    ("a merge of one token", tokenizer(put("model", "merges", ["x"])),
     "model/tokenizer.json: the BPE model has a merge (number 0) that is no pair of tokens: "
     "got x"),
    ("an unknown token that is not there", tokenizer(put("model", "unk_token", "<gone>")),
     "model/tokenizer.json: the BPE model's unk_token is not in its vocabulary: got <gone>"),
    ("an unknown normalizer", tokenizer(put("normalizer", {"type": "Alien"})),
     "model/tokenizer.json: the normalizer 'Alien' is not supported"),
    ("a normalizer that is a text", tokenizer(put("normalizer", "NFC")),
     'model/tokenizer.json: a normalizer is malformed: expected an object with a string '
     '"type", got string'),
    ("an unknown pre-tokenizer", tokenizer(put("pre_tokenizer", {"type": "Alien"})),
     "model/tokenizer.json: the pre_tokenizer 'Alien' is not supported"),
    ("an expression that does not compile", tokenizer(put("pre_tokenizer", {
        "type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated", "invert": False})),

     "model/tokenizer.json: a regular expression holds what is not supported: an unclosed "
     "group: got (a (at byte 2)"),
    ("an unknown split behavior", tokenizer(put("pre_tokenizer", {
        "type": "Split", "pattern": {"String": "a"}, "behavior": "Alien", "invert": False})),
        "model/tokenizer.json: a pre_tokenizer has an unknown split behavior: expected "
        "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous, got Alien"),
    ("an unknown decoder", tokenizer(put("decoder", {"type": "Alien"})),
     "model/tokenizer.json: the decoder 'Alien' is not supported"),
    ("a template without its token", tokenizer(put("post_processor", "special_tokens", {})),
     "model/tokenizer.json: the post_processor 'TemplateProcessing' uses a special token that "
     "it does not define: got <s>"),
    ("an added token without text", tokenizer(put("added_tokens", [{"id": 1}])),
     'model/tokenizer.json: an added token is malformed: expected an object with a string '
     '"content"'),
    ("a tokenizer config that is a list", file("model/tokenizer_config.json", []),
     "model/tokenizer_config.json: the file is no JSON object"),
    ("a flag that is a text", file("model/tokenizer_config.json", {"add_bos_token": "yes"}),
     'model/tokenizer_config.json: "add_bos_token" is not true or false'),
    ("a template that is a number", file("model/tokenizer_config.json", {"chat_template": 1}),
     'model/tokenizer_config.json: "chat_template" is malformed: expected a string or a list '
     'of {"name", "template"}'),
]

TEMPLATES = [
    ("not closed", "{% if x %}", "model: chat template, line 1: the template ends before {% "
                                 "endif %}"),
    ("an unknown statement", "{% import 'os' %}",
     "model: chat template, line 1: a chat template can not load other templates"),
    ("an unknown filter", "{{ messages | alien }}",
     "model: chat template, line 1: there is no filter 'alien'"),
    ("an attribute that is not there", "{{ messages.a.b }}",
     "model: chat template, line 1: 'list object' has no attribute 'a'"),
    ("a refusal", "{{ raise_exception('no\\nsystem \\x1b[2J') }}",
     "model: chat template, line 1: the template says: no system \\x1b[2J"),
    ("a way into the host", "{{ ''.__class__.__mro__ }}",
     "model: chat template, line 1: attribute '__class__' is not accessible"),
    ("a loop without end", "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}"
     "{% endfor %}", "model: chat template, line 1: the template takes too many steps"),
    ("a macro that calls itself", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
     "model: chat template, line 1: the template recurses too deeply"),
    ("a string without end", "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(99) %}"
     "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
     "model: chat template, line 1: the template builds too many values"),
    ("a division by zero", "{{ 1 // 0 }}", "model: chat template, line 1: division by zero"),
    ("brackets nested 1000 deep", "{{ " + "(" * 1000 + ")" * 1000 + " }}",
     "model: chat template, the template is nested too deeply"),
]

OPTIONS = [
    Case("a destination in use", "convert model nf4", nothing,
         "nf4: destination exists and is not empty; choose another, or allow overwriting "
         "(--overwrite)"),
    Case("a destination that is a file", "convert model model/config.json", nothing,
         "model/config.json: destination is not a folder; give the name of a folder"),
    Case("the source as destination", "quantize model model --scheme nf4", nothing,
         "model: destination exists and is not empty; choose another, or allow overwriting "
         "(--overwrite)"),
    Case("quantizing twice", "quantize nf4 out --scheme int8", nothing,
         "nf4/config.json: the model is quantized already; run `nibble dequantize` first, or "
         "start from the original model"),
    Case("resuming what is finished", "quantize model nf4 --scheme nf4 --resume", nothing,
         "nf4: destination is not empty, and there is no unfinished work to resume; it may be "
         "finished: --overwrite makes it anew"),
    Case("quantizing a folder of AutoGPTQ", "quantize model out --scheme nf4",
         file("model/quantize_config.json", '{"bits": 4, "group_size": 128}'),
         "model/quantize_config.json: the model is quantized already; run `nibble dequantize` "
         "first, or start from the original model"),
    Case("dequantizing a plain model", "dequantize model out", nothing,
         "model/config.json: the model is not quantized: it has no quantization_config"),
    Case("a shard size of words", "convert model out --max-shard-size big", nothing,
         "--max-shard-size: expected a size such as 5GB, 200MB or 1GiB, got 'big'; see `nibble "
         "convert --help`", code=2),
    Case("an unknown scheme", "quantize model out --scheme int3", nothing,
         "--scheme: there is no 'int3'; this version has nf4, fp4, int8, gptq, awq, eetq, hqq, "
         "group-int8, fp8, rtn; see `nibble quantize --help`", code=2),
    Case("another number of bits per block", QUANTIZE + " --block-size 60", nothing,
         "block size is not one of bitsandbytes: expected 32, 64, 128, 256, 512, 1024, 2048 or "
         "4096, got 60; see `nibble quantize --help`", code=2),
    Case("no such text", "eval model --perplexity gone.txt --quiet", nothing,
         "gone.txt: no such text file"),
    Case("a text without tokens", "eval model --perplexity empty.txt --quiet",
         file("empty.txt", ""), "nothing to score: expected a text of at least two tokens"),
    Case("a task's file without its fields", "eval model --task mmlu=q.jsonl --quiet",
         file("q.jsonl", '\n{"question": "a", "options": ["b"]}\n'),
         "q.jsonl:2: the question has no field 'choices': got question, options"),
    Case("an answer that is none of the choices", "eval model --task piqa=q.json --quiet",
         file("q.json", [{"goal": "a", "sol1": "b", "sol2": "c", "label": 2}]),
         "q.json: entry 1: bad value of 'label': expected 0 to 1, got 2"),
    Case("a task without questions", "eval model --task piqa=q.jsonl --quiet", file("q.jsonl", ""),
         "q.jsonl: the file holds no questions: expected one entry for each question of piqa"),
    Case("a task in a file of another kind", "eval model --task piqa=q.parquet --quiet",
         file("q.parquet", ""), "q.parquet: not a file of piqa questions: expected JSON lines "
         "(.jsonl) or a JSON list (.json), plain or .zst"),
    Case("a compressed file that is cut off", "eval model --task piqa=q.jsonl.zst --quiet",
         file("q.jsonl.zst", b"\x28\xb5\x2f\xfd\0"), "q.jsonl.zst: the compressed data is cut "
         "off: got 5 bytes; copy it anew"),
    Case("a compressed file that is none", "eval model --perplexity text.zst --quiet",
         file("text.zst", "some text"), "text.zst: the file cannot be decompressed: expected zstd "
         "data with a window of at most 128 MiB, got Unknown frame descriptor (at byte 0); copy it "
         "anew, or decompress it with zstd -d"),
    Case("a path that is too long", "run " + "x" * 300 + " -p a", nothing,
         "x" * 300 + ": cannot look at this path: got File name too long"),
    Case("comparing with another model", "inspect nf4 --compare gone --quiet", nothing,
         "gone: the model folder has no config.json"),
    Case("a chat with a model without template", CHAT,
         file("model/tokenizer_config.json", {}),
         "model: the model has no chat template; it was not made for conversations; give it "
         "plain text to continue"),
]

CASES = ([Case(f"config: {name}", RUN, breaks, message) for name, breaks, message in CONFIGS]
         + [Case(f"quantization_config: {name}", NF4, config("nf4", **changes), message)
            for name, changes, message in QUANTIZATION]
         + [Case(f"generation_config: {name}", RUN, file("model/generation_config.json", content),
                 message) for name, content, message in GENERATION]
         + [Case(f"tokenizer: {name}", RUN, breaks, message) for name, breaks, message in TOKENIZERS]
         + [Case(f"chat template: {name}", CHAT, template(source), message)
            for name, source, message in TEMPLATES]
         + OPTIONS)
