"""One round of llama.cpp through its Python package: prints milliseconds as JSON.

    peer_llama.py LANGUAGE.gguf VISION.gguf --threads 2 …

Its best settings: flash attention on, repacked weights (the default), one batch for the whole
prompt, bf16 tower. The picture has the size it would be resized to, so nothing is resized.
"""
import argparse
import ctypes
import json
import time

import llama_cpp
import numpy
from llama_cpp import mtmd_cpp

from pictures import synthetic_picture

FLASH_ATTENTION_ON = 1
QUIET = llama_cpp.llama_log_callback(lambda level, text, data: None)


def milliseconds(call):
    begin = time.perf_counter()
    result = call()
    return (time.perf_counter() - begin) * 1e3, result


def check(is_good, what):
    if not is_good:
        raise SystemExit(f"peer_llama.py: {what} failed")


class Peer:
    def __init__(self, arguments):
        llama_cpp.llama_log_set(QUIET, None)
        mtmd_cpp.mtmd_log_set(QUIET, None)
        mtmd_cpp.mtmd_helper_log_set(QUIET, None)
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(
            arguments.language.encode(), llama_cpp.llama_model_default_params())
        check(self.model, "loading " + arguments.language)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = arguments.context
        params.n_threads = params.n_threads_batch = arguments.threads
        params.flash_attn_type = FLASH_ATTENTION_ON
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        check(self.context, "making a context")
        vision = mtmd_cpp.mtmd_context_params_default()
        vision.use_gpu = vision.print_timings = vision.warmup = False
        vision.n_threads = arguments.threads
        vision.flash_attn_type = FLASH_ATTENTION_ON
        self.tower = mtmd_cpp.mtmd_init_from_file(arguments.vision.encode(), self.model, vision)
        check(self.tower, "loading " + arguments.vision)
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        self.n_vocabulary = llama_cpp.llama_vocab_n_tokens(self.vocabulary)

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def run(self, ids):
        array = (llama_cpp.llama_token * len(ids))(*ids)
        batch = llama_cpp.llama_batch_get_one(array, len(ids))
        check(llama_cpp.llama_decode(self.context, batch) == 0, "a step")
        llama_cpp.llama_synchronize(self.context)
        return self.best_id()

    def best_id(self):
        logits = llama_cpp.llama_get_logits_ith(self.context, -1)
        return int(numpy.argmax(numpy.ctypeslib.as_array(logits, (self.n_vocabulary,))))

    def chunks(self, side, n_words):
        pixels = synthetic_picture(side, side, 2)
        data = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        bitmap = mtmd_cpp.mtmd_bitmap_init(side, side, data)
        words = mtmd_cpp.mtmd_default_marker() + b"the" + b" the" * (n_words - 1)
        text = mtmd_cpp.mtmd_input_text(words, len(words), True, True)
        chunks = mtmd_cpp.mtmd_input_chunks_init()
        bitmaps = (mtmd_cpp.mtmd_bitmap_p_ctypes * 1)(bitmap)
        check(mtmd_cpp.mtmd_tokenize(self.tower, chunks, ctypes.byref(text), bitmaps, 1) == 0,
              "laying out the prompt")
        return chunks

    def encode(self, chunks):
        """Milliseconds and tokens of the picture among the chunks."""
        for i in range(mtmd_cpp.mtmd_input_chunks_size(chunks)):
            chunk = mtmd_cpp.mtmd_input_chunks_get(chunks, i)
            n_tokens = mtmd_cpp.mtmd_input_chunk_get_n_tokens(chunk)
            if mtmd_cpp.mtmd_input_chunk_get_type(chunk) == mtmd_cpp.MTMD_INPUT_CHUNK_TYPE_IMAGE:
                time_ms, code = milliseconds(
                    lambda: mtmd_cpp.mtmd_encode_chunk(self.tower, chunk))
                check(code == 0, "encoding")
                return time_ms, n_tokens
        raise SystemExit("peer_llama.py: the prompt holds no picture")

    def first_token(self, side, n_words):
        self.clear()
        begin = time.perf_counter()
        chunks = self.chunks(side, n_words)
        past = llama_cpp.llama_pos(0)
        n_batch = llama_cpp.llama_n_batch(self.context)
        check(mtmd_cpp.mtmd_helper_eval_chunks(self.tower, self.context, chunks, 0, 0, n_batch, True,
                                               ctypes.byref(past)) == 0, "reading the prompt")
        self.best_id()
        return (time.perf_counter() - begin) * 1e3, mtmd_cpp.mtmd_helper_get_n_tokens(chunks)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("language")
    parser.add_argument("vision")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--side", type=int, default=504)
    parser.add_argument("--prompt-tokens", type=int, default=350)
    parser.add_argument("--answer-tokens", type=int, default=64)
    parser.add_argument("--text-tokens", type=int, default=32)
    arguments = parser.parse_args()
    arguments.context = 2048
    load_ms, peer = milliseconds(lambda: Peer(arguments))
    peer.run([1, 2, 3])  # touches the weights once

    encode_ms, n_picture_tokens = peer.encode(peer.chunks(arguments.side, 1))
    ttft_ms, n_tokens = peer.first_token(arguments.side, arguments.text_tokens)
    peer.clear()
    prompt = [100 + i % 900 for i in range(arguments.prompt_tokens)]
    prefill_ms, token = milliseconds(lambda: peer.run(prompt))
    begin = time.perf_counter()
    for _ in range(arguments.answer_tokens - 1):
        token = peer.run([token])
    decode_ms = (time.perf_counter() - begin) * 1e3 / (arguments.answer_tokens - 1)
    print(json.dumps({"load": load_ms, "encode-512": encode_ms, "ttft-512": ttft_ms,
                      "prefill": prefill_ms, "decode": decode_ms,
                      "picture_tokens": n_picture_tokens, "ttft_tokens": n_tokens}))


if __name__ == "__main__":
    main()
