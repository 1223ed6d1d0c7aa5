// Pages of keys and values, shared by sequences that have a beginning in common.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "core/anonymous_memory.h"

namespace qwenvl {

// Owns the memory of all pages; hands them out and takes them back.
class KvPool {
 public:
  KvPool(const KvLayout& layout, std::int64_t max_pages) : layout_(layout), max_pages_(max_pages) {}

  struct Page {
    AnonymousMemory memory;
    int n_owners = 0;
  };

  const KvLayout& layout() const { return layout_; }
  // Pages are kept for reuse (their memory is not), so those allocated are the most that were ever
  // in use.
  std::int64_t n_allocated() const { return static_cast<std::int64_t>(pages_.size()); }
  std::int64_t n_in_use() const { return n_allocated() - static_cast<std::int64_t>(free_.size()); }

  Page* take();  // throws out_of_memory at the limit; admission keeps that from happening
  void give_back(Page* page);  // one owner less

 private:
  const KvLayout layout_;
  const std::int64_t max_pages_;
  std::vector<std::unique_ptr<Page>> pages_;
  std::vector<Page*> free_;
};

// The cache of one sequence: an ordered list of pages.
class KvCache {
 public:
  explicit KvCache(KvPool& pool) : pool_(&pool) {}
  ~KvCache() { clear(); }
  KvCache(KvCache&& other) noexcept;
  KvCache& operator=(KvCache&& other) noexcept;

  // A second sequence with the same past: pages are shared until one of them writes.
  KvCache fork() const;
  // Makes room for tokens [n_tokens, n_tokens + more) and makes their pages this sequence's own.
  void prepare(std::int64_t more);
  void advance(std::int64_t n) { n_tokens_ += n; }
  std::int64_t n_tokens() const { return n_tokens_; }
  std::vector<std::byte*> pages() const;
  void clear();

 private:
  KvPool* pool_;
  std::vector<KvPool::Page*> pages_;
  std::int64_t n_tokens_ = 0;
};

}  // namespace qwenvl
