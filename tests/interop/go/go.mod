module grpcsecure.test/client

go 1.21
