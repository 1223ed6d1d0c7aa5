"""One round of llama.cpp through its Python package: prints milliseconds as JSON.

    peer_llama.py LANGUAGE.gguf VISION.gguf --threads 2 …

Its best settings: flash attention on, repacked weights (the default), one batch for the whole
prompt, bf16 tower. The picture has the size it would be resized to, so nothing is resized.
"""
import ctypes

import llama_cpp
import numpy
from llama_cpp import mtmd_cpp

import peer
from pictures import synthetic_picture

FLASH_ATTENTION_ON = 1
QUIET = llama_cpp.llama_log_callback(lambda level, text, data: None)


def check(is_good, what):
    if not is_good:
        raise SystemExit(f"peer_llama.py: {what} failed")


class Llama:
    def __init__(self, options):
        llama_cpp.llama_log_set(QUIET, None)
        mtmd_cpp.mtmd_log_set(QUIET, None)
        mtmd_cpp.mtmd_helper_log_set(QUIET, None)
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(
            options.language.encode(), llama_cpp.llama_model_default_params())
        check(self.model, "loading " + options.language)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = options.context
        params.n_threads = params.n_threads_batch = options.threads
        params.flash_attn_type = FLASH_ATTENTION_ON
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        check(self.context, "making a context")
        vision = mtmd_cpp.mtmd_context_params_default()
        vision.use_gpu = vision.print_timings = vision.warmup = False
        vision.n_threads = options.threads
        vision.flash_attn_type = FLASH_ATTENTION_ON
        self.tower = mtmd_cpp.mtmd_init_from_file(options.vision.encode(), self.model, vision)
        check(self.tower, "loading " + options.vision)
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        self.n_vocabulary = llama_cpp.llama_vocab_n_tokens(self.vocabulary)

        self.batch = llama_cpp.llama_batch_init(options.context, 0, 1)
        self.n_past = 0

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        self.n_past = 0

    def run(self, ids):
        """The most likely token after these."""
        batch = self.batch
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i] = token, self.n_past + i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            batch.logits[i] = i == len(ids) - 1
        self.n_past += len(ids)
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
        prompt = mtmd_cpp.mtmd_default_marker() + peer.words(n_words).encode()
        text = mtmd_cpp.mtmd_input_text(prompt, len(prompt), True, True)
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
                time_ms, code = peer.milliseconds(
                    lambda: mtmd_cpp.mtmd_encode_chunk(self.tower, chunk))
                check(code == 0, "encoding")
                return time_ms, n_tokens
        raise SystemExit("peer_llama.py: the prompt holds no picture")

    def first_token(self, side, n_words):
        self.clear()
        chunks = self.chunks(side, n_words)
        past = llama_cpp.llama_pos(0)
        n_batch = llama_cpp.llama_n_batch(self.context)
        check(mtmd_cpp.mtmd_helper_eval_chunks(self.tower, self.context, chunks, 0, 0, n_batch, True,
                                               ctypes.byref(past)) == 0, "reading the prompt")
        self.best_id()
        return mtmd_cpp.mtmd_helper_get_n_tokens(chunks)


def main():
    options = peer.parse_options(__doc__, ["language", "vision"])
    options.context = 2048
    load_ms, llama = peer.milliseconds(lambda: Llama(options))
    llama.run([1, 2, 3])  # touches the weights once

    encode_ms, n_picture_tokens = llama.encode(llama.chunks(options.side, 1))
    ttft_ms, n_tokens = peer.milliseconds(
        lambda: llama.first_token(options.side, options.text_tokens))
    llama.clear()
    prefill_ms, token = peer.milliseconds(lambda: llama.run(peer.ids(options.prompt_tokens)))

    def answer(token):
        for _ in range(options.answer_tokens - 1):
            token = llama.run([token])

    answer_ms, _ = peer.milliseconds(lambda: answer(token))
    peer.report(load=load_ms, encode=encode_ms, ttft=ttft_ms, prefill=prefill_ms,
                decode=answer_ms / (options.answer_tokens - 1),
                picture_tokens=n_picture_tokens, ttft_tokens=n_tokens)


if __name__ == "__main__":
    main()
