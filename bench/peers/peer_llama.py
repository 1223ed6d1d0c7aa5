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
        self.open_context(options, 1)
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

    def open_context(self, options, n_sequences):
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = options.context * n_sequences
        params.n_batch = params.n_ubatch = options.context
        params.n_seq_max, params.kv_unified = n_sequences, False
        params.n_threads = params.n_threads_batch = options.threads
        params.flash_attn_type = FLASH_ATTENTION_ON
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        check(self.context, "making a context")

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

    def best_id(self, row=-1):
        logits = llama_cpp.llama_get_logits_ith(self.context, row)
        return int(numpy.argmax(numpy.ctypeslib.as_array(logits, (self.n_vocabulary,))))

    def chunks(self, sides, n_words, seed=2):
        pixels = synthetic_picture(*sides, seed)
        data = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        bitmap = mtmd_cpp.mtmd_bitmap_init(*sides, data)
        prompt = mtmd_cpp.mtmd_default_marker() + peer.words(n_words).encode()
        text = mtmd_cpp.mtmd_input_text(prompt, len(prompt), True, True)
        chunks = mtmd_cpp.mtmd_input_chunks_init()
        bitmaps = (mtmd_cpp.mtmd_bitmap_p_ctypes * 1)(bitmap)
        check(mtmd_cpp.mtmd_tokenize(self.tower, chunks, ctypes.byref(text), bitmaps, 1) == 0,
              "laying out the prompt")
        return chunks

    def encode(self, chunks):
        """Milliseconds for the picture among the chunks."""
        for i in range(mtmd_cpp.mtmd_input_chunks_size(chunks)):
            chunk = mtmd_cpp.mtmd_input_chunks_get(chunks, i)
            if mtmd_cpp.mtmd_input_chunk_get_type(chunk) == mtmd_cpp.MTMD_INPUT_CHUNK_TYPE_IMAGE:
                time_ms, code = peer.milliseconds(
                    lambda: mtmd_cpp.mtmd_encode_chunk(self.tower, chunk))
                check(code == 0, "encoding")
                return time_ms
        raise SystemExit("peer_llama.py: the prompt holds no picture")

    def read(self, chunks, sequence):
        """Encodes and reads a prompt; its first token, and the position of the next."""
        past = llama_cpp.llama_pos(0)
        n_batch = llama_cpp.llama_n_batch(self.context)
        check(mtmd_cpp.mtmd_helper_eval_chunks(self.tower, self.context, chunks, 0, sequence, n_batch,
                                               True, ctypes.byref(past)) == 0, "reading the prompt")
        return self.best_id(), past.value

    def answer_pictures(self, n_pictures, n_words, n_answer):
        """One sequence for each picture; a step reads the weights once for all of them."""
        tokens, positions = [], []
        for i in range(n_pictures):
            token, past = self.read(self.chunks(peer.SIDES, n_words, 10 + i), i)
            tokens.append(token)
            positions.append(past)
        batch = self.batch
        for step in range(n_answer - 1):
            batch.n_tokens = n_pictures
            for i in range(n_pictures):
                batch.token[i], batch.pos[i] = tokens[i], positions[i] + step
                batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = 1, i, True
            check(llama_cpp.llama_decode(self.context, batch) == 0, "a step of the batch")
            llama_cpp.llama_synchronize(self.context)
            tokens = [self.best_id(i) for i in range(n_pictures)]


def main():
    options = peer.parse_options(__doc__, ["language", "vision"])
    options.context = 2048
    load_ms, llama = peer.milliseconds(lambda: Llama(options))
    llama.run([1, 2, 3])  # touches the weights once

    def encode(stage):
        return {stage: llama.encode(llama.chunks(peer.PICTURES[stage], 1))}

    def first_token():
        llama.clear()
        return {"ttft-512": peer.milliseconds(
            lambda: llama.read(llama.chunks(peer.SIDES, options.text_tokens), 0))[0]}

    def text():
        llama.clear()
        prefill_ms, token = peer.milliseconds(lambda: llama.run(peer.ids(options.prompt_tokens)))

        def answer(token):
            for _ in range(options.answer_tokens - 1):
                token = llama.run([token])

        answer_ms, _ = peer.milliseconds(lambda: answer(token))
        return {"prefill": prefill_ms, "decode": answer_ms / (options.answer_tokens - 1)}

    def batch():
        llama_cpp.llama_free(llama.context)
        llama.open_context(options, options.batch)
        batch_ms, _ = peer.milliseconds(lambda: llama.answer_pictures(
            options.batch, options.text_tokens, options.answer_tokens))
        llama_cpp.llama_free(llama.context)
        llama.open_context(options, 1)
        return {"batch": batch_ms}

    peer.report(options.stages, load_ms, {
        **{stage: lambda stage=stage: encode(stage) for stage in peer.PICTURES},
        "ttft-512": first_token, "prefill": text, "decode": text, "batch": batch})


if __name__ == "__main__":
    main()
