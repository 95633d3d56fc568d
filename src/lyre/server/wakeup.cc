#include "lyre/server/wakeup.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "lyre/base/check.h"

namespace lyre::server {
namespace net = boost::asio;

/// Gives out the one block of its Wakeup, which it keeps alive.
template <class T>
class Wakeup::MessageAllocator {
 public:
  using value_type = T;
  explicit MessageAllocator(std::shared_ptr<Wakeup> owner) noexcept : owner_(std::move(owner)) {}
  template <class U>
  MessageAllocator(const MessageAllocator<U>& other) noexcept  // NOLINT: rebinding is implicit
      : owner_(other.owner_) {}

  T* allocate(size_t count) {
    LYRE_CHECK(count * sizeof(T) <= sizeof owner_->message_);
    return reinterpret_cast<T*>(owner_->message_);
  }
  void deallocate(T*, size_t) noexcept {}
  template <class U>
  bool operator==(const MessageAllocator<U>& other) const noexcept {
    return owner_ == other.owner_;
  }

 private:
  template <class U>
  friend class MessageAllocator;
  std::shared_ptr<Wakeup> owner_;
};

Wakeup::Wakeup(net::io_context& context)
    : context_(context), never_(context, net::steady_timer::time_point::max()) {}

void Wakeup::wake() noexcept {
  if (under_way_.exchange(true, std::memory_order_acq_rel)) return;
  // Asio moves the handler out of its memory before the call: the block is free again when
  // under_way_ falls.
  net::post(context_, net::bind_allocator(MessageAllocator<std::byte>(shared_from_this()),
                                          [self = shared_from_this()] {
                                            self->under_way_.store(false,
                                                                   std::memory_order_release);
                                            self->wake_here();
                                          }));
}

void Wakeup::wake_here() {
  woken_ = true;
  never_.cancel();
}

net::awaitable<void> Wakeup::wait() {
  while (!woken_) co_await never_.async_wait(net::as_tuple(net::use_awaitable));
  woken_ = false;
}

}  // namespace lyre::server
