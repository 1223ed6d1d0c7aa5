// A file that appears when it is whole: until then it has another name, and no older file of its
// own name is touched.
// Before: something is to be written.   After: the caller writes to path(), then calls keep().
#pragma once

#include <string>

namespace qwenvl {

class NewFile {
 public:
  explicit NewFile(std::string final_path);
  ~NewFile();  // what was not kept is removed
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  // "out.mp4.part"; where something is that is no file (a pipe, /dev/null), that itself.
  const std::string& path() const { return path_; }
  // Throws device.
  void keep();

 private:
  const std::string final_path_, path_;
  bool is_kept_ = false;
};

}  // namespace qwenvl
