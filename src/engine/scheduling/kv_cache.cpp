// Pages of keys and values: taken, shared, copied before a shared one is written.
// Before: scheduler.cpp admits a job.   After: the back end fills and reads the pages.
#include "engine/scheduling/kv_cache.h"

#include <cstring>
#include <utility>

namespace qwenvl {

KvPool::Page* KvPool::take() {
  Page* page;
  if (!free_.empty()) {
    page = free_.back();
    free_.pop_back();
  } else {
    if (static_cast<std::int64_t>(pages_.size()) >= max_pages_) {
      fail(ErrorKind::out_of_memory, "key/value cache: all {} pages of {} tokens are in use",
           max_pages_, kKvPageTokens);
    }
    auto fresh = std::make_unique<Page>();
    fresh->memory =
        AnonymousMemory(static_cast<std::size_t>(layout_.page_bytes()), "key/value cache");
    page = fresh.get();
    pages_.push_back(std::move(fresh));
    free_.reserve(pages_.capacity());  // so that giving a page back never fails
  }
  page->n_owners = 1;
  return page;
}

void KvPool::give_back(Page* page) {
  if (--page->n_owners > 0) return;
  page->memory.forget();
  free_.push_back(page);
}

KvCache::KvCache(KvCache&& other) noexcept
    : pool_(other.pool_),
      pages_(std::exchange(other.pages_, {})),
      n_tokens_(std::exchange(other.n_tokens_, 0)) {}

KvCache& KvCache::operator=(KvCache&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(pages_, other.pages_);
  std::swap(n_tokens_, other.n_tokens_);
  return *this;
}

KvCache KvCache::fork() const {
  KvCache copy(*pool_);
  copy.pages_ = pages_;
  copy.n_tokens_ = n_tokens_;
  for (KvPool::Page* page : copy.pages_) ++page->n_owners;
  return copy;
}

void KvCache::prepare(std::int64_t more) {
  if (more == 0) return;
  const std::int64_t first = n_tokens_ / kKvPageTokens,
                     last = (n_tokens_ + more - 1) / kKvPageTokens;
  pages_.reserve(static_cast<std::size_t>(last + 1));  // a page taken is never lost
  for (std::int64_t i = first; i <= last; ++i) {
    if (i == static_cast<std::int64_t>(pages_.size())) {
      pages_.push_back(pool_->take());
    } else if (KvPool::Page*& page = pages_[static_cast<std::size_t>(i)]; page->n_owners > 1) {
      KvPool::Page* own = pool_->take();
      std::memcpy(own->memory.data(), page->memory.data(),
                  static_cast<std::size_t>(pool_->layout().page_bytes()));
      pool_->give_back(page);
      page = own;
    }
  }
}

std::vector<std::byte*> KvCache::pages() const {
  std::vector<std::byte*> out;
  for (const KvPool::Page* page : pages_) out.push_back(page->memory.data());
  return out;
}

void KvCache::clear() {
  for (KvPool::Page* page : pages_) pool_->give_back(page);
  pages_.clear();
  n_tokens_ = 0;
}

}  // namespace qwenvl
