// Tells pictures and videos apart by what they hold.
// Before: apps/ have a source.   After: they make it a picture or a clip of a request.
#include "engine/guard.h"
#include "media/source.h"
#include "media/video/video.h"
#include "qwenvl/tools.h"

namespace qwenvl {

MediaKind media_kind(const Picture& source) {
  return guarded([&] {
    VideoSource video{source.source, "", source.bytes};
    if (source.bytes.empty()) {
      video.path = local_path(source.source);
      if (video.path.empty()) video.bytes = read_source(source.source).bytes;
    }
    return is_video(video) ? MediaKind::video : MediaKind::picture;
  });
}

}  // namespace qwenvl
