//! What holds a pod's namespaces open while its containers come and go: it does nothing, for ever.
//!
//! containerd starts one in each pod and kills it in the end. It is linked statically, for its image is empty but for it.

fn main() {
    loop {
        std::thread::park();
    }
}
