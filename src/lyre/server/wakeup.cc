#include "lyre/server/wakeup.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "lyre/base/check.h"

namespace lyre::server {
namespace net = boost::asio;

/// Gives out one block of a Wakeup, which it keeps alive.
template <class T>
class Wakeup::BlockAllocator {
 public:
  using value_type = T;
  BlockAllocator(std::shared_ptr<Wakeup> owner, Block& block) noexcept
      : owner_(std::move(owner)), block_(&block) {}
  template <class U>
  BlockAllocator(const BlockAllocator<U>& other) noexcept  // NOLINT: rebinding is implicit
      : owner_(other.owner_), block_(other.block_) {}

  T* allocate(size_t count) {
    LYRE_CHECK(count * sizeof(T) <= sizeof block_->bytes);
    return reinterpret_cast<T*>(block_->bytes);
  }
  void deallocate(T*, size_t) noexcept {}
  template <class U>
  bool operator==(const BlockAllocator<U>& other) const noexcept {
    return block_ == other.block_;
  }

 private:
  template <class U>
  friend class BlockAllocator;
  std::shared_ptr<Wakeup> owner_;
  Block* block_;
};

Wakeup::Wakeup(net::io_context& context)
    : context_(context), never_(context, net::steady_timer::time_point::max()) {}

void Wakeup::wake() noexcept {
  if (under_way_.exchange(true, std::memory_order_acq_rel)) return;
  auto self = shared_from_this();
  const BlockAllocator<std::byte> memory(self, message_);
  // Asio moves the handler out of its memory before the call: the block is free again when
  // under_way_ falls.
  net::post(context_, net::bind_allocator(memory, [self = std::move(self)] {
              self->under_way_.store(false, std::memory_order_release);
              self->wake_here();
            }));
}

void Wakeup::wake_here() {
  woken_ = true;
  never_.cancel();
}

net::awaitable<void> Wakeup::wait() {
  const BlockAllocator<std::byte> memory(shared_from_this(), wait_);
  while (!woken_) {
    co_await never_.async_wait(net::bind_allocator(memory, net::as_tuple(net::use_awaitable)));
  }
  woken_ = false;
}

}  // namespace lyre::server
