"""A training step of PEFT in f32 on the weights of a GGUF file, for `cargo bench --bench training`.

training.py MODEL.gguf one|eight|packed plain|checkpointing
"""

import json
import os
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

THREADS = 2
STEPS = 3
SHAPES = {"one": (768, 1), "eight": (1536, 8), "packed": (1536, 8)}
ANSWER = 256


def load(path, checkpointing):
    folder, name = os.path.split(path)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    model.config.use_cache = False
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=names))
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    return model


def loss_of(model, tokens, prompt, **more):
    """The loss of the answer behind the prompt, with logits for the answer alone."""
    length = tokens.shape[1]
    logits = model(input_ids=tokens, logits_to_keep=length - prompt + 1, **more).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, prompt:].flatten())


def packed_step(model, prompt_tokens, answers):
    """All answers in one sequence behind one prompt, each blind to the others."""
    prompt, count = prompt_tokens.shape[1], len(answers)
    tokens = torch.cat([prompt_tokens, *answers], dim=1)
    own = torch.arange(ANSWER)
    positions = torch.cat([torch.arange(prompt)] + [prompt + own] * count)[None]
    segment = torch.cat([torch.zeros(prompt)] + [torch.full((ANSWER,), i + 1.0) for i in range(count)])
    order = torch.arange(tokens.shape[1])
    sees = (order[:, None] >= order) & ((segment[:, None] == segment) | (segment == 0))
    mask = torch.zeros(sees.shape).masked_fill(~sees, torch.finfo(torch.float32).min)[None, None]
    starts = [prompt + i * ANSWER for i in range(count)]
    rows = [torch.tensor([prompt - 1, *range(start, start + ANSWER - 1)]) for start in starts]
    logits = model(
        input_ids=tokens,
        attention_mask=mask,
        position_ids=positions,
        logits_to_keep=torch.cat(rows),
    ).logits
    loss = torch.nn.functional.cross_entropy(logits[0], torch.cat(answers, dim=1)[0])
    loss.backward()


def main():
    path, work, setting = sys.argv[1:]
    torch.set_num_threads(THREADS)
    model = load(path, setting == "checkpointing")
    trained = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    prompt, count = SHAPES[work]
    torch.manual_seed(1)
    prompt_tokens = torch.randint(100, 40100, (1, prompt))
    answers = [torch.randint(100, 40100, (1, ANSWER)) for _ in range(count)]

    def step():
        if work == "packed":
            packed_step(model, prompt_tokens, answers)
        else:
            for answer in answers:
                tokens = torch.cat([prompt_tokens, answer], dim=1)
                (loss_of(model, tokens, prompt) / count).backward()
        optimizer.step()
        optimizer.zero_grad()

    # The long ones take minutes: warmed up by one of their sequences.
    if work == "eight":
        loss_of(model, torch.cat([prompt_tokens, answers[0]], dim=1), prompt).backward()
        optimizer.zero_grad()
    seconds = []
    for _ in range(1 if work == "eight" else STEPS):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"seconds": seconds[-1], "peak_mb": peak}))


main()
